"""The explorer: pages that show the chain to people, rendered on the server.

`views` are the routes. Each gathers what its page shows (`pages`) and renders it (`rendering`, `templates`); `text` has
the filters of the templates, `names` the one for names of addresses, `cards` completes tables for phones, and `charts`
has the numbers of the charts. `places` reads transactions at many places of the chain, and `history` says what each did
to a balance. `links` and `search` read what people type. The scripts and styles are in `static`: nothing is loaded from
another site.
"""
