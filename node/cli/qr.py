"""Draws a text as a QR code; a process of its own, so that the node does not carry the library."""

import sys

import segno

if __name__ == "__main__":
    segno.make(sys.argv[1], error="m").terminal(compact=True, border=2)
