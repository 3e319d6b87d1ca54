"""The explorer: pages that show the chain to people, rendered on the server.

`views` are the routes, and `course` those of the course. Each gathers what its page shows (`pages`), and `rendering`
renders it (`templates`). `text` has the filters of the templates, `names` the one for names of addresses, `charts` the
numbers of the charts, and `glossary` reads the files in `words`. `places` reads transactions at many places of the
chain. `links` and `search` read what people type. The scripts and styles are in `static`: nothing is loaded from
another site.
"""
