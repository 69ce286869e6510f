"""The report: one self-contained page of what run folders have to say."""
