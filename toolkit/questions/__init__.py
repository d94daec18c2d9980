"""What is authoritative here, how far behind is the view, how do we repair it; and what is wrong before it hurts."""
