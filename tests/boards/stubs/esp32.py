"""`esp32` as the chips of that family have it: `chip` names what this one can tell, `NAME` is what it tells."""

from machine import read

for _name in read("chip").split():
    globals()[_name] = lambda name=_name: int(read(name, "0"))
