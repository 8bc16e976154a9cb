/* The pins of the Uno: lamp 13 (PB5), dimmer 9 (PB1, OC1A), button 2 (PD2), light A0 (ADC0). */
#include "pins.h"

#include <avr/interrupt.h>
#include <avr/io.h>

#define LAMP _BV(PB5)
#define DIMMER _BV(PB1)
#define BUTTON _BV(PD2)

/* A contact bounces for up to 10 ms or so: believe it after 5 equal ticks, 20 ms. */
#define SETTLED 5

/* 10 conversions 20 ms apart are one mean: 200 ms is ten periods of 50 Hz and twelve of 60 Hz, so the
 * flicker of lamps on the mains cancels, and light can be told no more than 5 times a second. */
#define SAMPLES 10
#define TICKS_A_SAMPLE 5

/* 1 % of full scale: below it is noise. */
#define DEADBAND 10

static volatile uint8_t ticks;
static bool pressed;
static uint16_t permille, told;

static bool button_down(void)
{
    return !(PIND & BUTTON);
}

void pins_start(void)
{
    DDRB |= LAMP | DIMMER;
    PORTD |= BUTTON; /* pull-up: open is high, pressed is low */

    /* Timer 2: 16 MHz / 256 / 250 = 250 Hz */
    TCCR2A = _BV(WGM21);
    OCR2A = 249;
    TCCR2B = _BV(CS22) | _BV(CS21);
    TIMSK2 = _BV(OCIE2A);

    /* ADC0 against AVCC, 125 kHz: a conversion takes 0.1 ms */
    ADMUX = _BV(REFS0);
    DIDR0 = _BV(ADC0D);
    ADCSRA = _BV(ADEN) | _BV(ADSC) | _BV(ADPS2) | _BV(ADPS1) | _BV(ADPS0);

    /* The first thing we tell is true already. The pull-up has had 0.2 ms to pull. */
    while (ADCSRA & _BV(ADSC))
        ;
    permille = told = (uint32_t)ADC * 1000 / 1023;
    pressed = button_down();
}

ISR(TIMER2_COMPA_vect)
{
    ticks++;
}

bool pins_tick(void)
{
    static uint8_t seen;
    if (seen == ticks)
        return false;
    seen = ticks;
    return true;
}

bool button_changed(void)
{
    static uint8_t different;
    bool now = button_down();
    if (now == pressed) {
        different = 0;
        return false;
    }
    if (++different < SETTLED)
        return false;
    pressed = now;
    different = 0;
    return true;
}

bool button_pressed(void)
{
    return pressed;
}

bool light_changed(void)
{
    static uint8_t wait, samples;
    static uint16_t sum; /* 10 * 1023 fits */
    int16_t change;
    if (++wait < TICKS_A_SAMPLE)
        return false;
    wait = 0;
    sum += ADC;
    ADCSRA |= _BV(ADSC);
    if (++samples < SAMPLES)
        return false;
    permille = ((uint32_t)sum * 100 + 511) / 1023;
    sum = samples = 0;
    change = permille - told;
    if (-DEADBAND < change && change < DEADBAND)
        return false;
    told = permille;
    return true;
}

uint16_t light_permille(void)
{
    return permille;
}

bool lamp_lit(void)
{
    return PINB & LAMP;
}

bool lamp_write(uint8_t on)
{
    if (on)
        PORTB |= LAMP;
    else
        PORTB &= ~LAMP;
    /* The pin is read through a latch, one clock late (data sheet 14.2.4), and a relay's transistor
     * has a base to charge. */
    for (uint8_t wait = 0; wait < 20; wait++)
        asm volatile("nop");
    return lamp_lit() == on;
}

uint8_t dimmer_level(void)
{
    return TCCR1A & _BV(COM1A1) ? OCR1A : 0;
}

bool dimmer_write(uint8_t level)
{
    OCR1A = level;
    if (level) {
        /* Fast PWM, 8 bits, 16 MHz / 64 / 256 = 977 Hz */
        TCCR1A = _BV(COM1A1) | _BV(WGM10);
        TCCR1B = _BV(WGM12) | _BV(CS11) | _BV(CS10);
    } else {
        /* Fast PWM at 0 still gives a spike a period (data sheet 16.9.3): off means off. */
        TCCR1A = TCCR1B = 0;
    }
    return dimmer_level() == level;
}
