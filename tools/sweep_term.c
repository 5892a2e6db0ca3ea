/* sweep_term.c - see sweep_term.h for the contract. */
#include "sweep_term.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define KEYS_FD 0
#define VIEW_FD 2
#define WRITE_WAIT_MS 1000
#define COLUMNS_UNKNOWN 80      /* a terminal that does not say how large it is */
#define ROWS_UNKNOWN 24

static struct termios before;
/* Set by handlers, which any thread may run. */
static atomic_bool changed;     /* `before` is to be restored */
static atomic_bool suspend_wanted, continued, dying;
static bool has_keys, opened;

/* ---- modes -------------------------------------------------------------------------------- */

static void restore(void)
{
    if (changed)
        tcsetattr(KEYS_FD, TCSADRAIN, &before);
    changed = false;
}

/* Without flow control, too: Ctrl-S would stop the sweep, which writes to this terminal. */
static void take_keys(void)
{
    struct termios keys;
    if (!has_keys || changed || dying || tcgetattr(KEYS_FD, &before) != 0)
        return;
    keys = before;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    keys.c_iflag &= ~(tcflag_t)IXON;
    keys.c_cc[VMIN] = 0;
    keys.c_cc[VTIME] = 0;
    changed = true;
    if (tcsetattr(KEYS_FD, TCSADRAIN, &keys) != 0)
        changed = false;
    if (dying)                  /* a signal that another thread has got meanwhile */
        restore();
}

/* ---- signals ---------------------------------------------------------------------------------- */

static void on_suspend(int signal)
{
    (void)signal;
    suspend_wanted = true;
}

static void on_continue(int signal)
{
    (void)signal;
    continued = true;
}

/* It ends the process all the same, but leaves the terminal as it was. */
static void on_death(int signal)
{
    dying = true;
    restore();
    raise(signal);              /* SA_RESETHAND: by default now */
}

static void catch_signal(int signal, void (*handler)(int), int flags)
{
    struct sigaction old, action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    /* Who ignores or handles it already has a reason: nohup, a sanitizer. */
    if (sigaction(signal, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
        sigaction(signal, &action, NULL);
}

bool term_open(void)
{
    static const int deaths[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    if (!isatty(VIEW_FD))
        return false;
    has_keys = isatty(KEYS_FD);
    opened = true;
    catch_signal(SIGTSTP, on_suspend, 0);
    catch_signal(SIGCONT, on_continue, 0);
    for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++)
        catch_signal(deaths[i], on_death, SA_RESETHAND | SA_NODEFER);
    atexit(restore);
    return true;
}

void term_close(void)
{
    if (opened)
        restore();
    opened = false;
}

bool term_is_ours(bool *anew)
{
    *anew = continued;
    if (tcgetpgrp(has_keys ? KEYS_FD : VIEW_FD) != getpgrp()) {
        changed = false;            /* whoever is in the foreground set it as he likes */
        return false;
    }
    if (continued)
        changed = false;
    continued = false;
    take_keys();
    return true;
}

bool term_wants_suspend(void) { return suspend_wanted; }

void term_suspend(void)
{
    struct sigaction ours, usual = {.sa_handler = SIG_DFL};
    suspend_wanted = false;
    restore();
    sigaction(SIGTSTP, &usual, &ours);
    kill(getpid(), SIGTSTP);    /* here it stands until it is continued */
    sigaction(SIGTSTP, &ours, NULL);
    continued = true;
}

/* ---- what goes through ------------------------------------------------------------------------- */

void term_size(unsigned *columns, unsigned *rows)
{
    struct winsize w = {0};
    bool known = ioctl(VIEW_FD, TIOCGWINSZ, &w) == 0;
    *columns = known && w.ws_col > 0 ? w.ws_col : COLUMNS_UNKNOWN;
    *rows = known && w.ws_row > 0 ? w.ws_row : ROWS_UNKNOWN;
}

size_t term_read(char *keys, size_t size)
{
    struct pollfd fd = {KEYS_FD, POLLIN, 0};
    if (!has_keys || !changed || poll(&fd, 1, 0) <= 0)
        return 0;
    ssize_t n = read(KEYS_FD, keys, size);
    return n > 0 ? (size_t)n : 0;
}

void term_write(const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(VIEW_FD, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        struct pollfd fd = {VIEW_FD, POLLOUT, 0};
        if (n < 0 && (errno != EAGAIN || poll(&fd, 1, WRITE_WAIT_MS) <= 0))
            return;
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
}
