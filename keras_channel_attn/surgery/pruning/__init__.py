"""Channels removed from networks: found, chosen, and taken out.

`ties` collects which channels go together, `reading` what the layers of a model
do with them, `flows` has a rule for each kind of layer. `groups` lists what can
be removed, `removal` makes the narrower copy, `importance` and `selection`
choose the channels.
"""
