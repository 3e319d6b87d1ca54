"""What each page shows, gathered from the node. The templates say how it looks.

`overview`, `blocks`, `transactions`, `addresses`, `supply`, `pool`, `network`, `mining` and `miners` are each one
page; `course` is the steps of the course, and `quiz` its questions. The pages that show little of the node
(`/learn/anatomy`, `/send`, `/token`, `/join`) have no module here; their routes gather it.
"""
