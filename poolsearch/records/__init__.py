"""What travels from work to figures and pages: frozen records of plain numbers."""
