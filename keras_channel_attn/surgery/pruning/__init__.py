"""Channels removed from networks: found, chosen, and taken out.

`ties` collects which channels go together, `reading` what the layers of a model
do with them. `flows` is the table of rules for all kinds of layers; the rules
are in `making`, `carrying`, `attending` and `arranging`. `groups` lists what
can be removed, `removal` makes the narrower copy, `importance` and `selection`
choose the channels.
"""
