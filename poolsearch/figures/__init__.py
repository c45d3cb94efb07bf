"""Records and arrays to Plotly figures and PNG. Sees no model, no study and no session."""
