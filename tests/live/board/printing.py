"""A board that just prints, as somebody else would have made it: a process with a pseudo-terminal for its serial port.

    python printing.py /tmp/ttyUSB0 pairs

It prints a line ten times a second, and takes "LAMP 0" and "LAMP 1", which it confirms. What it does on its pins it
tells on its standard output, and of its garbage each 32 KiB that the port has taken; on its standard input it takes
"temp 21.40", "deaf", "silent", "garbage" and "sane".
"""

import os
import pty
import random
import select
import sys
import termios
import tty

SPEWED = 32 * 1024  # bytes, of which a node reads no more in a second
FORMATS = {
    "pairs": "temp={temp} lamp={lamp}",
    "csv": "12:00:00;{temp};{lamp}",
    "regex": "Temperature: {temp} C, the lamp is {word}.",
    "paths": '{{"sensors":[{{"name":"ds18b20","raw":{raw}}}],"io":{{"lamp":{lamp}}}}}',
}


def main(link, format):
    master, slave = pty.openpty()
    tty.setraw(slave, termios.TCSANOW)
    os.symlink(os.ttyname(slave), link)  # like udev; whoever ends us takes the link away
    os.set_blocking(master, False)
    temp, lamp, mode, heard = "21.40", "0", "sane", b""
    spewed = 0
    noise = random.Random(4)
    print("pins ready", flush=True)
    while True:
        ready, _, _ = select.select([master, 0], [], [], 0.01 if mode == "garbage" else 0.1)
        if 0 in ready:
            told = os.read(0, 4096).decode().split("\n")
            if told == [""]:
                return
            for word, _, rest in (each.partition(" ") for each in told if each):
                temp, mode = (rest, mode) if word == "temp" else (temp, word)
        if master in ready:
            *lines, heard = (heard + os.read(master, 4096)).split(b"\n")
            for line in lines:
                if line in (b"LAMP 0", b"LAMP 1"):
                    lamp = line.decode()[-1]
                    print(f"pin lamp {lamp}", flush=True)
                    if mode != "deaf":
                        say(master, f"OK LAMP {lamp}\n".encode())
        if mode == "garbage":
            spewed += say(master, noise.randbytes(4096))  # more than any port brings
            if spewed >= SPEWED:
                spewed -= SPEWED
                print("spewed", flush=True)
        elif mode != "silent":
            word = "on" if lamp == "1" else "off"
            raw = temp.replace(".", "")
            line = FORMATS[format].format(temp=temp, lamp=lamp, word=word, raw=raw)
            say(master, f"{line}\r\n".encode())


def say(master, data):
    try:
        return os.write(master, data)
    except BlockingIOError:  # nobody reads
        return 0


main(*sys.argv[1:])
