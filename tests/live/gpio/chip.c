/* A GPIO chip for a process that has this preloaded: the kernel's half of <linux/gpio.h>, version 2, out of a folder.
 *
 * $GPIOCHIP/gpiochip0  the chip's device; without it the chip is unplugged
 * $GPIOCHIP/levels     a byte for each pin, 0 or 1, as a voltmeter shows it
 * $GPIOCHIP/events     a socket: who takes lines sends his request to it and reads events from it
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/gpio.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#define PINS 32
#define OTHERS 3 /* the pin that somebody else has */
#define DEVICE makedev(254, 0)

static struct gpio_v2_line_request taken;

static const char *at(const char *name)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", getenv("GPIOCHIP"), name);
    return path;
}

static int refuse(int error)
{
    errno = error;
    return -1;
}

/* A character device of the class gpio, as libgpiod looks at it. */

static int look(const char *path, struct stat *said, int flags)
{
    if (fstatat(AT_FDCWD, path, said, flags))
        return -1;
    if (!strcmp(path, at("gpiochip0"))) {
        said->st_mode = S_IFCHR | 0660;
        said->st_rdev = DEVICE;
    }
    return 0;
}

int stat(const char *path, struct stat *said) { return look(path, said, 0); }
int lstat(const char *path, struct stat *said) { return look(path, said, AT_SYMLINK_NOFOLLOW); }
int __xstat(int version, const char *path, struct stat *said) { return (void)version, look(path, said, 0); }
int __lxstat(int version, const char *path, struct stat *said)
{
    return (void)version, look(path, said, AT_SYMLINK_NOFOLLOW);
}

char *realpath(const char *path, char *resolved)
{
    char *(*next)(const char *, char *) = dlsym(RTLD_NEXT, "realpath");
    return strcmp(path, "/sys/dev/char/254:0/subsystem") ? next(path, resolved) : strdup("/sys/bus/gpio");
}

/* The lines */

static __u64 flags_of(unsigned int line)
{
    for (unsigned int i = 0; i < taken.config.num_attrs; i++)
        if (taken.config.attrs[i].attr.id == GPIO_V2_LINE_ATTR_ID_FLAGS && taken.config.attrs[i].mask >> line & 1)
            return taken.config.attrs[i].attr.flags;
    return taken.config.flags;
}

static int exchange(struct gpio_v2_line_values *values, int set)
{
    int levels = open(at("levels"), O_RDWR);
    if (access(at("gpiochip0"), F_OK) || levels < 0)
        return refuse(ENODEV);
    for (unsigned int i = 0; i < taken.num_lines; i++) {
        char level, inverted = (flags_of(i) & GPIO_V2_LINE_FLAG_ACTIVE_LOW) != 0;
        if (!(values->mask >> i & 1))
            continue;
        if (set) {
            level = (values->bits >> i & 1) ^ inverted;
            pwrite(levels, &level, 1, taken.offsets[i]);
        } else {
            pread(levels, &level, 1, taken.offsets[i]);
            values->bits |= (__u64)(level ^ inverted) << i;
        }
    }
    return close(levels);
}

static int take(struct gpio_v2_line_request *request)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    taken = *request;
    strncpy(address.sun_path, at("events"), sizeof address.sun_path - 1);
    request->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(request->fd, (struct sockaddr *)&address, sizeof address))
        return -1;
    for (unsigned int i = 0; i < taken.config.num_attrs; i++) {
        struct gpio_v2_line_config_attribute *each = &taken.config.attrs[i];
        struct gpio_v2_line_values values = {.bits = each->attr.values, .mask = each->mask};
        if (each->attr.id == GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES && exchange(&values, 1))
            return -1;
    }
    taken.fd = request->fd;
    return send(request->fd, &taken, sizeof taken, 0) == sizeof taken ? 0 : -1;
}

int ioctl(int fd, unsigned long request, ...)
{
    int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    va_list arguments;
    va_start(arguments, request);
    void *given = va_arg(arguments, void *);
    va_end(arguments);
    struct gpiochip_info *chip = given;
    struct gpio_v2_line_info *line = given;
    switch ((unsigned int)request) { /* the kernel looks at 32 bits, too */
    case GPIO_GET_CHIPINFO_IOCTL:
        *chip = (struct gpiochip_info){.name = "gpiochip0", .label = "simulated pins", .lines = PINS};
        return 0;
    case GPIO_V2_GET_LINEINFO_IOCTL:
        snprintf(line->name, sizeof line->name, "GPIO%u", line->offset);
        strcpy(line->consumer, line->offset == OTHERS ? "spi0 CS0" : "");
        line->flags = line->offset == OTHERS ? GPIO_V2_LINE_FLAG_USED : 0;
        line->num_attrs = 0;
        return 0;
    case GPIO_V2_GET_LINE_IOCTL:
        return take(given);
    case GPIO_V2_LINE_GET_VALUES_IOCTL:
        return exchange(given, 0);
    case GPIO_V2_LINE_SET_VALUES_IOCTL:
        return exchange(given, 1);
    }
    return next(fd, request, given);
}

ssize_t read(int fd, void *data, size_t size)
{
    ssize_t (*next)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
    ssize_t length = next(fd, data, size);
    return length == 0 && fd == taken.fd && taken.num_lines ? refuse(ENODEV) : length;
}
