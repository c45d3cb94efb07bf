"""What each page shows and says, one file a page."""
