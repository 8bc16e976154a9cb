/* An Arduino Uno without the Uno: runs its firmware in simavr, in step with the wall clock.
 *
 *   uno FIRMWARE LINK          FIRMWARE.elf, or FIRMWARE.hex as Intel has it
 *
 * Its serial port is a pseudo-terminal to which LINK points. As on a real Uno, opening the port resets the
 * board, which is then deaf for as long as its boot loader waits.
 *
 * Says, a line each, with the seconds of CLOCK_MONOTONIC last:
 *   ready PATH S     the pty is there
 *   reset S          someone has opened it, or pressed its button
 *   pin 13 0|1 S     the lamp's pin has changed
 *   pwm 9 0..255 S   the dimmer's compare value has changed
 *   clock X S        simulated seconds since its start, asked for by "clock"
 * Hears, a line each, and ends when its stdin does:
 *   adc 0 MILLIVOLT  the voltage at A0
 *   pin 2 0|1        the button: 0 pressed, 1 released
 *   hang | go        the processor stops, as if the firmware hung; and goes on
 *   restart          its reset button
 *   clock
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "avr_adc.h"
#include "avr_ioport.h"
#include "avr_uart.h"
#include "sim_avr.h"
#include "sim_elf.h"
#include "sim_hex.h"
#include "sim_io.h"
#include "sim_time.h"

#define HERTZ 16000000
#define CYCLES_A_LOOK (HERTZ / 1000)  /* look at pty and stdin once a millisecond */
#define TCCR1A 0x80                   /* addresses and bits of the ATmega328P: data sheet 31 */
#define OCR1AL 0x88
#define COM1A1 0x80
#define UCSR0A 0xC0
#define U2X0 0x02
#define UBRR0L 0xC4
#define UBRR0H 0xC5
#define BOOT_LOADER (HERTZ / 2)       /* optiboot waits half a second before it starts the sketch */

static avr_t *avr;
static int pty, hung, restart, pin13, pwm9, pin2 = 1;
static char link_path[256];

static struct {
    unsigned char bytes[256];
    int length, next;
} incoming; /* read from the pty, on its way into the UART */
static avr_irq_t *uart_in;

static double wall(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* --- what the chip does to the world --------------------------------------------------------- */

static void pin13_changed(avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq, (void)param;
    if ((int)value == pin13)
        return;
    pin13 = value;
    printf("pin 13 %d %.6f\n", pin13, wall());
}

/* One of the timer's registers was written. The pin pulses only while it is connected to the timer. */
static void timer1_changed(avr_irq_t *irq, uint32_t value, void *param)
{
    int level = avr->data[TCCR1A] & COM1A1 ? avr->data[OCR1AL] : 0;
    (void)irq, (void)value, (void)param;
    if (level == pwm9)
        return;
    pwm9 = level;
    printf("pwm 9 %d %.6f\n", pwm9, wall());
}

/* If nobody reads, the byte is lost, as in a USB chip. */
static void byte_out(avr_irq_t *irq, uint32_t value, void *param)
{
    unsigned char byte = value;
    (void)irq, (void)param;
    if (write(pty, &byte, 1) < 0 && errno != EAGAIN && errno != EIO)
        die("pty");
}

/* --- what the world does to the chip ---------------------------------------------------------- */

/* As fast as the firmware has set its UART to be, 8N1: data sheet 20.3.1. */
static int cycles_a_byte(void)
{
    int divisor = avr->data[UBRR0L] + 256 * avr->data[UBRR0H] + 1;
    return 10 * divisor * (avr->data[UCSR0A] & U2X0 ? 8 : 16);
}

static avr_cycle_count_t byte_in(avr_t *mcu, avr_cycle_count_t when, void *param)
{
    (void)mcu, (void)param;
    avr_raise_irq(uart_in, incoming.bytes[incoming.next++]);
    return incoming.next < incoming.length ? when + cycles_a_byte() : 0;
}

/* The bytes take their time on the wire; what waits behind them stays in the kernel. */
static void read_pty(int booting)
{
    if (incoming.next < incoming.length)
        return;
    incoming.next = 0;
    incoming.length = read(pty, incoming.bytes, sizeof incoming.bytes);
    if (incoming.length <= 0 || booting)
        incoming.length = 0;
    else
        avr_cycle_timer_register(avr, cycles_a_byte(), byte_in, NULL);
}

/* Held from outside, against the pull-up. The simulator tells the port only of changes, so make one. */
static void hold_pin2(void)
{
    avr_irq_t *pin = avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), 2);
    avr_ioport_external_t held = {.name = 'D', .mask = 1 << 2, .value = pin2 << 2};
    avr_ioctl(avr, AVR_IOCTL_IOPORT_SET_EXTERNAL('D'), &held);
    avr_raise_irq(pin, !pin2);
    avr_raise_irq(pin, pin2);
}

static void order(char *line)
{
    int value;
    if (sscanf(line, "adc 0 %d", &value) == 1)
        avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC0), value);
    else if (sscanf(line, "pin 2 %d", &value) == 1)
        pin2 = !!value, hold_pin2();
    else if (!strcmp(line, "hang"))
        hung = 1;
    else if (!strcmp(line, "go"))
        hung = 0;
    else if (!strcmp(line, "restart"))
        restart = 1;
    else if (!strcmp(line, "clock"))
        printf("clock %.4f %.6f\n", avr->cycle / (double)HERTZ, wall());
    else
        fprintf(stderr, "not understood: %s\n", line);
}

static void read_stdin(void)
{
    static char text[256];
    static size_t length;
    ssize_t more = read(0, text + length, sizeof text - 1 - length);
    char *end;
    if (more <= 0) {
        unlink(link_path);
        exit(0);
    }
    length += more;
    text[length] = 0;
    while ((end = strchr(text, '\n'))) {
        *end++ = 0;
        order(text);
        length -= end - text;
        memmove(text, end, length + 1);
    }
}

/* --- putting it together ---------------------------------------------------------------------- */

static void open_pty(void)
{
    char fresh[sizeof link_path + 8];
    struct termios raw;
    int slave;
    pty = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (pty < 0 || grantpt(pty) || unlockpt(pty))
        die("pty");
    /* Raw from the first byte on; and only a pty that was open once reports that nobody has it open. */
    slave = open(ptsname(pty), O_RDWR | O_NOCTTY);
    if (slave < 0 || tcgetattr(slave, &raw))
        die(ptsname(pty));
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    close(slave);
    /* In one step, so that the old port is gone when the new one is there. */
    snprintf(fresh, sizeof fresh, "%s.new", link_path);
    unlink(fresh);
    if (symlink(ptsname(pty), fresh) || rename(fresh, link_path))
        die(link_path);
    printf("ready %s %.6f\n", ptsname(pty), wall());
}

static int read_firmware(const char *file, elf_firmware_t *firmware)
{
    const char *ending = strrchr(file, '.');
    if (!ending || strcmp(ending, ".hex"))
        return elf_read_firmware(file, firmware);
    firmware->flash = read_ihex_file(file, &firmware->flashsize, &firmware->flashbase);
    return firmware->flash ? 0 : -1;
}

static void load(const char *file)
{
    elf_firmware_t firmware = {0};
    uint32_t flags = 0;
    if (read_firmware(file, &firmware)) {
        fprintf(stderr, "cannot read %s\n", file);
        exit(1);
    }
    avr = avr_make_mcu_by_name("atmega328p");
    avr_init(avr);
    avr_load_firmware(avr, &firmware);
    avr->frequency = HERTZ;
    avr->vcc = avr->avcc = avr->aref = 5000;
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags); /* neither echo on stdout nor naps of its own */
    uart_in = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), byte_out, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('B'), 5), pin13_changed, NULL);
    avr_irq_register_notify(avr_iomem_getirq(avr, TCCR1A, "TCCR1A", AVR_IOMEM_IRQ_ALL), timer1_changed, NULL);
    avr_irq_register_notify(avr_iomem_getirq(avr, OCR1AL, "OCR1AL", AVR_IOMEM_IRQ_ALL), timer1_changed, NULL);
    hold_pin2();
}

/* The time is kept in the main loop. */
static void no_sleep(avr_t *mcu, avr_cycle_count_t cycles)
{
    (void)mcu, (void)cycles;
}

int main(int count, char **words)
{
    avr_cycle_count_t look = 0, start_at = 0;
    double started;
    int open_now = 0;
    if (count != 3 || strlen(words[2]) >= sizeof link_path) {
        fprintf(stderr, "usage: uno FIRMWARE LINK\n");
        return 2;
    }
    strcpy(link_path, words[2]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    load(words[1]);
    avr->sleep = no_sleep;
    open_pty();
    started = wall();

    for (;;) {
        int booting = avr->cycle < start_at;
        if (booting || hung) {
            avr->cycle += CYCLES_A_LOOK;
        } else {
            int state = avr_run(avr);
            if (state == cpu_Done || state == cpu_Crashed) {
                fprintf(stderr, "the firmware has crashed\n");
                return 1;
            }
        }
        if (avr->cycle < look)
            continue;
        look = avr->cycle + CYCLES_A_LOOK;

        /* Wait until the wall clock has caught up; wake for orders and bytes. */
        double ahead = avr->cycle / (double)HERTZ - (wall() - started);
        struct timespec pause = {0, ahead > 0 ? ahead * 1e9 : 0}; /* a few ms at most: one look */
        struct pollfd watched[] = {{0, POLLIN, 0}, {pty, POLLIN, 0}};
        int listening = open_now && !hung && incoming.next == incoming.length;
        ppoll(watched, listening ? 2 : 1, &pause, NULL);
        if (watched[0].revents)
            read_stdin();

        watched[1].revents = 0;
        poll(watched + 1, 1, 0);
        if (watched[1].revents & POLLHUP) {
            open_now = 0;
            continue;
        }
        if (!open_now || restart) {
            open_now = 1;
            restart = 0;
            avr_reset(avr);
            hold_pin2();
            start_at = avr->cycle + BOOT_LOADER;
            incoming.length = incoming.next = 0;
            printf("reset %.6f\n", wall());
        }
        if (watched[1].revents & POLLIN && !hung)
            read_pty(avr->cycle < start_at);
    }
}
