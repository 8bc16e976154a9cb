/* What is wired to the Uno, and nothing about how it is spoken of. */
#ifndef PINS_H
#define PINS_H

#include <stdbool.h>
#include <stdint.h>

/* A tick is 4 ms. */
#define TICKS_A_SECOND 250

void pins_start(void);

/* Since the last call: at least one tick has passed (ticks that were missed count once). */
bool pins_tick(void);

/* To be called once a tick; true when what it watches has changed enough to be told. */
bool button_changed(void);
bool light_changed(void);

/* What a pin really does: read back from the hardware, not remembered. */
bool lamp_lit(void);
uint8_t dimmer_level(void);
bool button_pressed(void);
uint16_t light_permille(void); /* of the supply voltage, mean of the last 200 ms */

/* True when the pin followed. */
bool lamp_write(uint8_t on);
bool dimmer_write(uint8_t level);

#endif
