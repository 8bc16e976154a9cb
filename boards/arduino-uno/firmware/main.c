/* An Arduino Uno as a contact: a lamp, a dimmer, a light sensor and a button, in JSON lines.
 * The protocol is described in boards/README.md. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "pins.h"
#include "uart.h"

/* Everything is told at least this often, so that the node knows we live. Below its 2 s, or it would ask. */
#define HEARTBEAT (TICKS_A_SECOND * 3 / 2)

static uint16_t silent; /* ticks since everything was told */

/* --- what we say ------------------------------------------------------------------------------ */

static void say_number(uint16_t number)
{
    char digits[6];
    uart_say(utoa(number, digits, 10));
}

static void say_lamp(void)
{
    SAY("\"lamp\":");
    if (lamp_lit())
        SAY("true");
    else
        SAY("false");
}

static void say_dimmer(void)
{
    SAY("\"dimmer\":");
    say_number(dimmer_level());
}

static void say_light(void)
{
    SAY("\"light\":");
    say_number(light_permille() / 10);
    SAY(".");
    say_number(light_permille() % 10);
}

static void say_button(void)
{
    SAY("\"button\":");
    if (button_pressed())
        SAY("true");
    else
        SAY("false");
}

static void tell(void (*reading)(void))
{
    SAY("{");
    reading();
    SAY("}\n");
}

static void tell_everything(void)
{
    SAY("{");
    say_lamp();
    SAY(",");
    say_dimmer();
    SAY(",");
    say_light();
    SAY(",");
    say_button();
    SAY("}\n");
    silent = 0;
}

static void tell_hello(void)
{
    SAY("{\"hello\":\"arduino-uno\",\"version\":\"1.0\",\"protocol\":1,\"fields\":4,\"controls\":2}\n"
        "{\"field\":{\"name\":\"lamp\",\"type\":\"boolean\",\"label\":\"Lamp\"}}\n"
        "{\"field\":{\"name\":\"dimmer\",\"type\":\"integer\",\"label\":\"Dimmer\"}}\n"
        "{\"field\":{\"name\":\"light\",\"type\":\"quantity\",\"unit\":\"%\",\"label\":\"Light\"}}\n"
        "{\"field\":{\"name\":\"button\",\"type\":\"boolean\",\"label\":\"Button\"}}\n"
        "{\"control\":{\"name\":\"lamp\",\"type\":\"boolean\",\"label\":\"Lamp\"}}\n"
        "{\"control\":{\"name\":\"dimmer\",\"type\":\"integer\",\"minimum\":0,\"maximum\":255,"
        "\"label\":\"Dimmer\"}}\n");
    tell_everything();
}

static void refuse(uint16_t id, const char *name, const char *flash)
{
    SAY("{\"err\":");
    say_number(id);
    SAY(",\"msg\":\"");
    uart_say(name); /* as json_name() read it: nothing in it needs an escape */
    uart_say_flash(flash);
    SAY("\"}\n");
}

/* --- what we do ------------------------------------------------------------------------------- */

struct control {
    const char *name;
    enum kind kind;
    uint8_t maximum;
    bool (*write)(uint8_t value);
    void (*say)(void);
};

static const struct control controls[] = {
    {"lamp", BOOLEAN, 1, lamp_write, say_lamp},
    {"dimmer", INTEGER, 255, dimmer_write, say_dimmer},
};

static const struct control *find(const char *name)
{
    for (uint8_t i = 0; i < sizeof controls / sizeof *controls; i++)
        if (!strcmp(controls[i].name, name))
            return &controls[i];
    return NULL;
}

/* What is wrong with a value, or NULL. */
static const char *fault(const struct control *control, const struct value *value)
{
    if (!control)
        return PSTR(" is no control of this board");
    if (value->kind == control->kind && 0 <= value->number && value->number <= control->maximum)
        return NULL;
    return control->kind == BOOLEAN ? PSTR(" takes true or false") : PSTR(" takes a whole number, 0 to 255");
}

/* One way through {"lamp":true,"dimmer":9}: only looking, or doing. False when it has refused. */
static bool walk(const char *at, uint16_t id, bool doing)
{
    char name[NAME];
    struct value value;
    json_take(&at, '{');
    if (json_take(&at, '}'))
        return true;
    do {
        const struct control *control;
        const char *wrong;
        if (!json_name(&at, name) || !json_value(&at, &value)) {
            refuse(id, "", PSTR("set is not understood"));
            return false;
        }
        control = find(name);
        wrong = fault(control, &value);
        if (wrong) {
            refuse(id, name, wrong);
            return false;
        }
        if (!doing)
            continue;
        if (!control->write(value.number)) {
            refuse(id, name, PSTR(" did not follow: is its pin shorted?"));
            return false;
        }
        tell(control->say);
    } while (json_take(&at, ','));
    if (json_take(&at, '}'))
        return true;
    refuse(id, "", PSTR("set is not understood"));
    return false;
}

/* All is looked at before anything is done, and all is done before it is confirmed. */
static void set(const char *values, uint16_t id)
{
    if (walk(values, id, false) && walk(values, id, true)) {
        SAY("{\"ok\":");
        say_number(id);
        SAY("}\n");
    }
}

struct command {
    bool hello;
    int32_t ping;       /* -1: none */
    int32_t id;         /* 0: none */
    const char *values; /* the object of "set", or NULL */
};

/* One line from the node: {"hello":1}, {"ping":1} or {"set":{...},"id":1}, members in any order. */
static bool understand(const char *line, struct command *command)
{
    char name[NAME];
    struct value value;
    *command = (struct command){.ping = -1};
    if (!json_take(&line, '{'))
        return false;
    do {
        if (!json_name(&line, name) || !json_value(&line, &value))
            return false;
        if (!strcmp(name, "hello"))
            command->hello = true;
        else if (!strcmp(name, "ping") && value.kind == INTEGER)
            command->ping = value.number;
        else if (!strcmp(name, "id") && value.kind == INTEGER)
            command->id = value.number;
        else if (!strcmp(name, "set") && value.kind == OBJECT)
            command->values = value.object;
    } while (json_take(&line, ','));
    return json_take(&line, '}') && json_end(line);
}

static void obey(const char *line)
{
    struct command command;
    if (!understand(line, &command)) {
        SAY("{\"error\":\"a line was not understood\"}\n");
        return;
    }
    if (command.hello)
        tell_hello();
    if (0 <= command.ping && command.ping <= 65535) {
        SAY("{\"pong\":");
        say_number(command.ping);
        SAY("}\n");
    }
    if (!command.values)
        return;
    if (1 <= command.id && command.id <= 65535)
        set(command.values, command.id);
    else
        SAY("{\"error\":\"set needs an id from 1 to 65535\"}\n");
}

int main(void)
{
    char *line;
    uart_start();
    pins_start();
    set_sleep_mode(SLEEP_MODE_IDLE);
    sei();
    tell_hello();
    for (;;) {
        while ((line = uart_line()))
            obey(line);
        if (pins_tick()) {
            if (button_changed())
                tell(say_button);
            if (light_changed())
                tell(say_light);
            if (++silent >= HEARTBEAT)
                tell_everything();
        }
        /* A byte between the look and the sleep must wake us: sei and sleep are one step. */
        cli();
        if (!uart_heard()) {
            sleep_enable();
            sei();
            sleep_cpu();
            sleep_disable();
        }
        sei();
    }
}
