/* A reader for one line of JSON that needs no memory of its own. */
#include "json.h"

#include <avr/pgmspace.h>
#include <string.h>

static void skip_blanks(const char **at)
{
    while (**at == ' ' || **at == '\t')
        ++*at;
}

bool json_take(const char **at, char mark)
{
    skip_blanks(at);
    if (**at != mark)
        return false;
    ++*at;
    return true;
}

bool json_end(const char *at)
{
    skip_blanks(&at);
    return !*at;
}

/* Names of ours have no escapes; a name that has one, or is longer, is none of ours. */
bool json_name(const char **at, char name[NAME])
{
    uint8_t length = 0;
    if (!json_take(at, '"'))
        return false;
    while (**at != '"') {
        if (**at == '\\' || (unsigned char)**at < ' ' || length == NAME - 1)
            return false;
        name[length++] = *(*at)++;
    }
    ++*at;
    name[length] = 0;
    return json_take(at, ':');
}

/* Steps over a string, or over an object or list and all that is in it. */
static bool skip_nested(const char **at)
{
    uint8_t depth = 0; /* a line has 127 bytes, so no more can be open */
    bool inside = false;
    do {
        char byte = *(*at)++;
        if ((unsigned char)byte < ' ' && byte != '\t')
            return false;
        if (inside && byte == '\\') {
            if (!*(*at)++)
                return false;
        } else if (byte == '"') {
            inside = !inside;
        } else if (!inside && (byte == '{' || byte == '[')) {
            depth++;
        } else if (!inside && (byte == '}' || byte == ']')) {
            depth--;
        }
    } while (inside || depth);
    return true;
}

static bool word(const char **at, const char *flash)
{
    size_t length = strlen_P(flash);
    if (strncmp_P(*at, flash, length))
        return false;
    *at += length;
    return true;
}

static bool number(const char **at, struct value *value)
{
    bool negative = **at == '-';
    value->kind = INTEGER;
    value->number = 0;
    if (negative)
        ++*at;
    if (**at < '0' || **at > '9')
        return false;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        value->number = value->number * 10 + (**at - '0');
        if (value->number > 99999)
            value->number = 99999;
    }
    if (negative)
        value->number = -value->number;
    while (**at && strchr_P(PSTR(".eE+-0123456789"), **at)) {
        value->kind = OTHER;
        ++*at;
    }
    return true;
}

bool json_value(const char **at, struct value *value)
{
    skip_blanks(at);
    value->kind = OTHER;
    if (**at == '{') {
        value->kind = OBJECT;
        value->object = *at;
        return skip_nested(at);
    }
    if (**at == '"' || **at == '[')
        return skip_nested(at);
    if (word(at, PSTR("null")))
        return true;
    value->kind = BOOLEAN;
    value->number = 1;
    if (word(at, PSTR("true")))
        return true;
    value->number = 0;
    if (word(at, PSTR("false")))
        return true;
    return number(at, value);
}
