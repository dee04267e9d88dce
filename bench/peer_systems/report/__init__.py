"""What becomes of the samples: medians and ranges, a page, and plots. Nothing here measures."""
