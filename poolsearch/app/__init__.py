"""The app: its server, its frame, its controls and views."""
