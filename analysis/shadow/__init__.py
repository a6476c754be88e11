"""Shadow: the challenger's answers beside the champion's."""
