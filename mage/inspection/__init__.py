"""Why a policy scores what it scores: the document that says so, and how it is read."""
