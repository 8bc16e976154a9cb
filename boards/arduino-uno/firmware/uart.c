/* The serial line of an ATmega328P, driven by its interrupts. */
#include "uart.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

/* U2X and 16 give 117647 baud: 2.1 % fast, as on every Uno; its USB chip does the same. */
#define DIVISOR 16

/* Powers of two. 128 each: the longest command fits whole while the hello is still going out. */
#define RING 128

/* 127 bytes and the zero: a set of all our controls is 48. */
#define LINE 128

static volatile uint8_t heard[RING], heard_in, heard_out;
static volatile uint8_t said[RING], said_in, said_out;
static volatile bool overrun;

static char line[LINE];
static uint8_t length;
static bool spoilt; /* the line at hand is too long or has lost bytes: skip to its end */

void uart_start(void)
{
    UBRR0 = DIVISOR;
    UCSR0A = _BV(U2X0);
    UCSR0C = _BV(UCSZ01) | _BV(UCSZ00);
    UCSR0B = _BV(RXEN0) | _BV(TXEN0) | _BV(RXCIE0);
}

ISR(USART_RX_vect)
{
    bool faulty = UCSR0A & (_BV(FE0) | _BV(DOR0));
    uint8_t byte = UDR0;
    uint8_t next = (heard_in + 1) % RING;
    if (faulty || next == heard_out) {
        overrun = true;
        return;
    }
    heard[heard_in] = byte;
    heard_in = next;
}

ISR(USART_UDRE_vect)
{
    if (said_out == said_in) {
        UCSR0B &= ~_BV(UDRIE0);
        return;
    }
    UDR0 = said[said_out];
    said_out = (said_out + 1) % RING;
}

static void say(char byte)
{
    uint8_t next = (said_in + 1) % RING;
    while (next == said_out)
        sleep_mode();
    said[said_in] = byte;
    said_in = next;
    cli(); /* the interrupt changes the same register */
    UCSR0B |= _BV(UDRIE0);
    sei();
}

void uart_say(const char *text)
{
    while (*text)
        say(*text++);
}

void uart_say_flash(const char *text)
{
    char byte;
    while ((byte = pgm_read_byte(text++)))
        say(byte);
}

bool uart_heard(void)
{
    return heard_in != heard_out;
}

char *uart_line(void)
{
    while (uart_heard()) {
        char byte = heard[heard_out];
        heard_out = (heard_out + 1) % RING;
        if (overrun) {
            overrun = false;
            spoilt = true;
        }
        if (byte == '\r')
            continue;
        if (byte != '\n') {
            if (length == LINE - 1)
                spoilt = true;
            else
                line[length++] = byte;
            continue;
        }
        line[spoilt ? 0 : length] = 0;
        length = 0;
        spoilt = false;
        return line;
    }
    return 0;
}
