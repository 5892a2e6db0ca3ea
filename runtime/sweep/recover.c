/* recover.c - what a trial printed and its runner did not live to record.
 *
 * A trial that reports by its standard output waits for no answer, so it may have
 * gone on, and saved a checkpoint, after a line that nobody recorded.  Its log has
 * the line. */
#include "sweep/sweep.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECOVER_MAX (1u << 20)          /* bytes of the log's end: what one runner can be behind */

/* The caller frees it; NULL: there is none, or no memory for it. */
static char *read_end(const char *path, size_t *size)
{
    struct stat st;
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && fstat(fd, &st) == 0 && (text = malloc(RECOVER_MAX)) != NULL) {
        off_t from = st.st_size > RECOVER_MAX ? st.st_size - RECOVER_MAX : 0;
        ssize_t n = pread(fd, text, RECOVER_MAX, from);
        *size = n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    return text;
}

/* The step that the line itself gives; 0: it gives none. */
static int64_t step_of(const char *line, size_t size)
{
    struct json_object *step = NULL;
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *report = tokener ? json_tokener_parse_ex(tokener, line, (int)size) : NULL;
    (void)json_object_object_get_ex(report, "step", &step);
    int64_t found = json_object_is_type(step, json_type_int) ? json_object_get_int64(step) : 0;
    json_object_put(report);
    if (tokener)
        json_tokener_free(tokener);
    return found;
}

void recover_printed(covey_sweep *s, uint32_t trial)
{
    char path[SWEEP_PATH_MAX + 64];
    struct sweep_answer answer;
    size_t size = 0;
    const struct trial *t = controller_trial(s->controller, trial);
    if (!s->spec->report_stdout || s->task)
        return;
    snprintf(path, sizeof path, "%s/log", sweep_trial_dir(s, trial));
    char *text = read_end(path, &size);
    /* A line without its end may be half of one. */
    for (char *line = text, *end; text && (end = memchr(line, '\n', size - (size_t)(line - text))); line = end + 1)
        if (*line == '{' && end - line <= (ptrdiff_t)SWEEP_REPORT_MAX && step_of(line, (size_t)(end - line)) > t->step)
            sweep_report(s, trial, 0, line, (size_t)(end - line), &answer);
    free(text);
}
