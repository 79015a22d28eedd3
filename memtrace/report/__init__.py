"""How results are shown, whatever they are: JSON, text, figures, HTML."""
