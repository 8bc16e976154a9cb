/* The serial line: what is said waits in a ring, what is heard comes out a line at a time. */
#ifndef UART_H
#define UART_H

#include <avr/pgmspace.h>
#include <stdbool.h>
#include <stdint.h>

/* 115200 8N1, both directions by interrupt. */
void uart_start(void);

/* Says text; waits, asleep, while the ring is full. */
void uart_say(const char *text);
void uart_say_flash(const char *text);
#define SAY(text) uart_say_flash(PSTR(text))

/* The next whole line without its end, or NULL if there is none yet. It is ours until the next call.
 * A line that is too long, or lost bytes, comes out as an empty line, once. */
char *uart_line(void);

/* Something was heard since the last uart_line(): look before sleeping. */
bool uart_heard(void);

#endif
