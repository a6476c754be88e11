"""What came of predictions: which model an outcome belongs to, and whether it was told before."""
