/* terminal.c - a program for tests/cluster: runs a command on a terminal of its own
 * and does with it what its standard input says.
 *
 *     terminal COMMAND...
 *
 *     size COLUMNS ROWS   of the terminal (80 24 at first)
 *     want TEXT           wait until the command prints TEXT, after what was wanted before
 *     send KEYS           \r, \e, \z (Ctrl-Z) and \c (Ctrl-C) have their meaning
 *     keys | lines        wait until the terminal hands out keys one by one, or whole lines
 *     signal NUMBER [FILE]  to the command, or to the process whose number is in FILE
 *     end STATUS          wait until it ends so; 128 + signal
 *
 * Each step has 20 s.  Exits with 0, or with 1 and the step that failed, and all that was
 * printed goes to standard output.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define STEP_MS 20000
#define LOOK_MS 20
#define OUTPUT_MAX (4u * 1024 * 1024)

static struct { int fd; pid_t pid; char *text; size_t len, seen; } t;

static int64_t mono_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* What the command prints is always read, else it would wait for us.  False: the end. */
static bool take_output(void)
{
    struct pollfd fd = {t.fd, POLLIN, 0};
    if (poll(&fd, 1, LOOK_MS) <= 0)
        return true;
    if (t.len + 4096 > OUTPUT_MAX)
        return false;
    ssize_t n = read(t.fd, t.text + t.len, 4096);
    if (n <= 0)
        return false;
    if (write(1, t.text + t.len, (size_t)n) < 0)
        return false;
    t.len += (size_t)n;
    return true;
}

static bool want(const char *text)
{
    for (int64_t until = mono_ms() + STEP_MS; mono_ms() < until;) {
        char *at = memmem(t.text + t.seen, t.len - t.seen, text, strlen(text));
        if (at) {
            t.seen = (size_t)(at - t.text) + strlen(text);
            return true;
        }
        if (!take_output())
            usleep(LOOK_MS * 1000);
    }
    return false;
}

static bool send_keys(const char *s)
{
    for (; *s; s++) {
        char c = *s;
        if (c == '\\' && s[1])
            c = *++s == 'r' ? '\r' : *s == 'e' ? '\033' : *s == 'z' ? '\032' : *s == 'c' ? '\003' : *s;
        if (write(t.fd, &c, 1) != 1)
            return false;
    }
    return true;
}

static bool has_mode(bool lines)
{
    for (int64_t until = mono_ms() + STEP_MS; mono_ms() < until; take_output()) {
        struct termios mode;
        if (tcgetattr(t.fd, &mode) == 0 && ((mode.c_lflag & ICANON) != 0) == lines)
            return true;
    }
    return false;
}

static bool ends(int wanted)
{
    int status;
    for (int64_t until = mono_ms() + STEP_MS; mono_ms() < until;) {
        bool open = take_output();
        if (waitpid(t.pid, &status, WNOHANG) == t.pid) {
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            t.pid = 0;
            fprintf(stderr, "ended with %d\n", code);
            return code == wanted;
        }
        if (!open)
            usleep(LOOK_MS * 1000);
    }
    return false;
}

static bool send_signal(const char *words)
{
    char path[256];
    int number, pid = t.pid;
    if (sscanf(words, "%d %255s", &number, path) == 2) {
        FILE *f = fopen(path, "re");
        bool found = f && fscanf(f, "%d", &pid) == 1;
        if (f)
            fclose(f);
        return found && kill(pid, number) == 0;
    }
    return kill(t.pid, number) == 0;
}

static bool step(char *line)
{
    char *rest = strchr(line, ' ');
    rest = rest ? rest + 1 : line + strlen(line);
    struct winsize size = {0};
    if (strncmp(line, "size ", 5) == 0 && sscanf(rest, "%hu %hu", &size.ws_col, &size.ws_row) == 2)
        return ioctl(t.fd, TIOCSWINSZ, &size) == 0;
    if (strncmp(line, "want ", 5) == 0)
        return want(rest);
    if (strncmp(line, "send ", 5) == 0)
        return send_keys(rest);
    if (strcmp(line, "keys") == 0 || strcmp(line, "lines") == 0)
        return has_mode(line[0] == 'l');
    if (strncmp(line, "signal ", 7) == 0)
        return send_signal(rest);
    return strncmp(line, "end ", 4) == 0 && ends(atoi(rest));
}

int main(int argc, char **argv)
{
    char line[512];
    struct winsize size = {.ws_col = 80, .ws_row = 24};
    t.text = malloc(OUTPUT_MAX);
    if (!t.text || argc < 2 || (t.pid = forkpty(&t.fd, NULL, NULL, &size)) < 0) {
        fprintf(stderr, "terminal: %s\n", argc < 2 ? "usage: terminal COMMAND..." : strerror(errno));
        return 2;
    }
    if (t.pid == 0) {
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    bool ok = true;
    while (ok && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        ok = step(line);
    }
    if (!ok)
        fprintf(stderr, "terminal: failed: %s\n", line);
    if (t.pid > 0) {
        kill(t.pid, SIGHUP);
        waitpid(t.pid, NULL, 0);
    }
    free(t.text);
    return !ok;
}
