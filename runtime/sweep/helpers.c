/* helpers.c - the Python modules for scripts, which the program carries along.
 *
 *   DIR/python/covey_report.py
 *              wandb/__init__.py
 */
#include "sweep/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "sweep/embed.h"

EMBED(helper_report, "runtime/sweep/python/covey_report.py");
EMBED(helper_wandb, "runtime/sweep/python/wandb/__init__.py");
/* With a NUL behind it: it is handed to an interpreter as a word. */
__asm__(".pushsection .rodata\nhelper_argparse:\n"
        ".incbin \"runtime/sweep/python/argparse_help.py\"\n.byte 0\n.popsection\n");
extern const char helper_argparse[] __attribute__((visibility("hidden")));

const char *helpers_argparse(void) { return helper_argparse; }

/* By another name first: a trial that still runs may be reading the one of before. */
static bool replace(const char *path, const char *from, const char *end)
{
    char fresh[PATH_MAX];
    if ((size_t)snprintf(fresh, sizeof fresh, "%s.new", path) >= sizeof fresh) {
        sweep_fail(COVEY_ESYSTEM, "cannot write %s: the path is too long", path);
        return false;
    }
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && file_write(fd, from, (size_t)(end - from));
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        ok = false;
        error = errno;
    }
    if (ok && rename(fresh, path) == 0)
        return true;
    sweep_fail(COVEY_ESYSTEM, "cannot write %s: %s", path, strerror(ok ? errno : error));
    return false;
}

bool launch_write_helpers(covey_sweep *s)
{
    char dir[SWEEP_PATH_MAX + 16], path[SWEEP_PATH_MAX + 48];
    snprintf(dir, sizeof dir, "%s/python", s->dir);
    snprintf(path, sizeof path, "%s/wandb", dir);
    if (!launch_make_dir(dir) || !launch_make_dir(path))
        return false;
    snprintf(path, sizeof path, "%s/wandb/__init__.py", dir);
    if (!replace(path, helper_wandb, helper_wandb_end))
        return false;
    snprintf(path, sizeof path, "%s/covey_report.py", dir);
    return replace(path, helper_report, helper_report_end);
}
