"""The documentation as a site: MkDocs' settings, and the pages that the code makes."""
