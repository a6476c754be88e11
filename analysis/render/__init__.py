"""What a report is (`document`), its pictures, its words for numbers, and where it goes (`output`)."""
