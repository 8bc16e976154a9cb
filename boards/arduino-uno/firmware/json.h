/* A reader for one line of JSON, in place: as much of RFC 8259 as a command needs. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>

/* 23 letters and the zero; the longest name we know has 6. */
#define NAME 24

enum kind {
    BOOLEAN,
    INTEGER,
    OBJECT,
    OTHER, /* strings, fractions, null, lists: read, but no command wants one */
};

struct value {
    enum kind kind;
    int32_t number;     /* BOOLEAN: 0 or 1; INTEGER: the number, held at +-99999 beyond it */
    const char *object; /* OBJECT: where it begins */
};

/* All take the place of reading, move it past what they read, and say whether it was there.
 * Blanks are allowed wherever JSON allows them. */
bool json_take(const char **at, char mark);
bool json_value(const char **at, struct value *value);

/* The next "name": of an object, after json_take('{') or a comma. */
bool json_name(const char **at, char name[NAME]);

/* Nothing but blanks is left. */
bool json_end(const char *at);

#endif
