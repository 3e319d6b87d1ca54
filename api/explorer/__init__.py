"""The explorer: pages that show the chain to people, rendered on the server.

`views` are the routes, and `course` those of the course. Each gathers what its page shows (`pages`) and renders it
(`rendering`, `templates`); `text` has the filters of the templates, `cards` completes tables for phones, `charts` has
the numbers of the charts, and `glossary` reads the files in `words`. `places` reads transactions at many places of the
chain, and `history` says what each did to a balance. `links` and `search` read what people type, and `names` says which
accounts have names. The scripts and styles are in `static`: nothing is loaded from another site.
"""
