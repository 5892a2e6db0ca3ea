/* copies.c - see copies.h for the contract.
 *
 * One list in the order of numbers: the loop takes at its head what has ended, the thread
 * works at the first that has not.  A copy's note in DIR/copies is removed before the loop
 * hears of it: nobody changes the trees of a copy that would be made again.
 */
#include "sweep/copies.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "sweep/tree.h"

#define NOTE_MAX 64             /* bytes of what a note says */
#define NAME_FORMAT "%020llu"   /* so that names sort as numbers do */

struct job { struct copy copy; struct job *next; bool ended; };

struct copies {
    char *dir;                  /* owned */
    int wake_fd;
    uint64_t next_number;       /* loop */
    bool has_thread;            /* loop */
    pthread_t thread;
    atomic_bool stop_copies, stop_removals;
    pthread_mutex_t lock;       /* of what follows */
    pthread_cond_t work;
    struct job *first, *last;   /* owned */
    struct job *todo;           /* the first that has not ended; NULL: none */
    bool works, closing;
};

struct copies *copies_new(const char *dir)
{
    struct copies *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    c->next_number = 1;
    c->dir = strdup(dir);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!c->dir || c->wake_fd < 0)
        copies_free(&c);
    return c;
}

void copies_free(struct copies **cp)
{
    struct copies *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
    if (c->has_thread)
        pthread_join(c->thread, NULL);
    for (struct job *job = c->first, *next; job; job = next) {
        next = job->next;
        free(job);
    }
    if (c->wake_fd >= 0)
        close(c->wake_fd);
    pthread_cond_destroy(&c->work);
    pthread_mutex_destroy(&c->lock);
    free(c->dir);
    free(c);
}

/* ---- notes --------------------------------------------------------------------------- */

/* Paths fit: the sweep's directory leaves room for what is below it. */
static void note_path(const struct copies *c, uint64_t number, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/copies/" NAME_FORMAT, c->dir, (unsigned long long)number);
}

static bool note(const struct copies *c, const struct copy *copy)
{
    char path[PATH_MAX], words[NOTE_MAX];
    if (copy->kind == COPY_REMOVE)      /* who is over is known from the record */
        return true;
    if (copy->kind == COPY_SNAPSHOT)
        snprintf(words, sizeof words, "snapshot %u", copy->trial);
    else
        snprintf(words, sizeof words, "clone %u %u", copy->trial, copy->from);
    note_path(c, copy->number, path);
    if (symlink(words, path) == 0)
        return true;
    if (errno != ENOENT)
        return false;
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s/copies", c->dir);
    return mkdir(dir, 0777) == 0 && symlink(words, path) == 0;
}

static void forget_note(const struct copies *c, const struct copy *copy)
{
    char path[PATH_MAX];
    note_path(c, copy->number, path);
    (void)unlink(path);
}

/* False: it is none of ours. */
static bool read_note(const struct copies *c, const char *name, struct copy *out)
{
    char path[PATH_MAX], words[NOTE_MAX], *end;
    *out = (struct copy){.number = strtoull(name, &end, 10)};
    if (*end || out->number == 0 || out->number == UINT64_MAX)
        return false;
    note_path(c, out->number, path);
    ssize_t n = readlink(path, words, sizeof words - 1);
    if (n < 0)
        return false;
    words[n] = 0;
    out->kind = strncmp(words, "clone ", 6) == 0 ? COPY_CLONE : COPY_SNAPSHOT;
    return out->kind == COPY_CLONE ? sscanf(words, "clone %u %u", &out->trial, &out->from) == 2
                                   : sscanf(words, "snapshot %u", &out->trial) == 1;
}

/* ---- the thread ------------------------------------------------------------------------ */

static void tree_path(const struct copies *c, uint32_t trial, const char *tree, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/trials/%04u/%s", c->dir, trial, tree);
}

static const char *target_of(const struct copy *copy)
{
    return copy->kind == COPY_CLONE ? "checkpoint" : "snapshot";
}

static int copy_tree(struct copies *c, const struct copy *copy)
{
    char from[PATH_MAX], to[PATH_MAX];
    bool clones = copy->kind == COPY_CLONE;
    tree_path(c, copy->trial, target_of(copy), to);
    tree_path(c, clones ? copy->from : copy->trial, clones ? "snapshot" : "checkpoint", from);
    if (clones && access(from, F_OK) != 0)
        tree_path(c, copy->from, "checkpoint", from);
    return !atomic_load(&c->stop_copies) && tree_copy(from, to, &c->stop_copies) ? 0
        : atomic_load(&c->stop_copies) ? ECANCELED : errno;
}

static int remove_trees(struct copies *c, const struct copy *copy)
{
    static const char *const trees[] = {"checkpoint", "snapshot"};
    char path[PATH_MAX];
    for (size_t i = 0; i < 2 && !atomic_load(&c->stop_removals); i++) {
        tree_path(c, copy->trial, trees[i], path);
        tree_remove(path, &c->stop_removals);
        tree_tidy(path, &c->stop_removals);
    }
    return atomic_load(&c->stop_removals) ? ECANCELED : 0;
}

static int carry_out(struct copies *c, const struct copy *copy)
{
    if (copy->kind == COPY_REMOVE)
        return remove_trees(c, copy);
    int error = copy_tree(c, copy);
    /* A snapshot that failed is warned of, a clone that failed is made again once that is mended. */
    if (error == 0 || (error != ECANCELED && copy->kind == COPY_SNAPSHOT))
        forget_note(c, copy);
    return error;
}

static void tidy(struct copies *c, const struct copy *copy)
{
    char to[PATH_MAX];
    tree_path(c, copy->trial, target_of(copy), to);
    if (!atomic_load(&c->stop_copies))
        tree_tidy(to, &c->stop_copies);
}

static void *work(void *arg)
{
    struct copies *c = arg;
    pthread_mutex_lock(&c->lock);
    while (c->todo || !c->closing) {
        struct job *job = c->todo;
        c->works = job != NULL;
        if (!job) {
            eventfd_write(c->wake_fd, 1);
            pthread_cond_wait(&c->work, &c->lock);
            continue;
        }
        struct copy copy = job->copy;
        pthread_mutex_unlock(&c->lock);
        copy.error = carry_out(c, &copy);
        pthread_mutex_lock(&c->lock);
        job->copy.error = copy.error;
        job->ended = true;
        c->todo = job->next;
        eventfd_write(c->wake_fd, 1);
        pthread_mutex_unlock(&c->lock);
        if (copy.kind != COPY_REMOVE)   /* nobody waits for the end of what was there before */
            tidy(c, &copy);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- the loop's side --------------------------------------------------------------------- */

/* @copy's note is written. */
static bool enqueue(struct copies *c, const struct copy *copy)
{
    struct job *job = calloc(1, sizeof *job);
    if (job && !c->has_thread && !(c->has_thread = thread_start(&c->thread, work, c))) {
        free(job);
        job = NULL;
        errno = EAGAIN;
    }
    if (!job)
        return false;
    job->copy = *copy;
    pthread_mutex_lock(&c->lock);
    if (c->last)
        c->last->next = job;
    else
        c->first = job;
    c->last = job;
    if (!c->todo)
        c->todo = job;
    c->works = true;
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
    return true;
}

uint64_t copies_add(struct copies *c, enum copy_kind kind, uint32_t trial, uint32_t from)
{
    struct copy copy = {.number = c->next_number, .kind = kind, .trial = trial, .from = from};
    c->next_number++;
    if (!note(c, &copy))
        return 0;
    if (enqueue(c, &copy))
        return copy.number;
    int error = errno;
    if (kind != COPY_REMOVE)
        forget_note(c, &copy);
    errno = error;
    return 0;
}

bool copies_pick_up(struct copies *c)
{
    char dir[PATH_MAX];
    struct dirent **names = NULL;
    struct copy copy;
    assert(!c->first);
    atomic_store(&c->stop_copies, false);
    atomic_store(&c->stop_removals, false);
    snprintf(dir, sizeof dir, "%s/copies", c->dir);
    int count = scandir(dir, &names, NULL, alphasort);
    bool ok = count >= 0 || errno == ENOENT;
    for (int i = 0; i < count; i++) {
        bool reads = read_note(c, names[i]->d_name, &copy);
        if (c->next_number <= copy.number && copy.number < UINT64_MAX)  /* also of what is none */
            c->next_number = copy.number + 1;
        if (ok && reads)
            ok = enqueue(c, &copy);
        free(names[i]);
    }
    free(names);
    return ok;
}

uint64_t copies_last(const struct copies *c, uint32_t trial)
{
    uint64_t number = 0;
    for (const struct job *job = c->first; job; job = job->next)    /* the list is the loop's to change */
        if (job->copy.trial == trial && job->copy.kind != COPY_REMOVE)
            number = job->copy.number;
    return number;
}

int copies_fd(const struct copies *c) { return c->wake_fd; }

bool copies_take(struct copies *c, struct copy *out)
{
    eventfd_t count;
    if (!c->has_thread)         /* most sweeps copy nothing, and their loop asks each time */
        return false;
    (void)eventfd_read(c->wake_fd, &count);     /* that it was not set does not matter */
    pthread_mutex_lock(&c->lock);
    struct job *job = c->first && c->first->ended ? c->first : NULL;
    if (job) {
        *out = job->copy;
        c->first = job->next;
        if (!c->first)
            c->last = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    free(job);
    return job != NULL;
}

bool copies_busy(struct copies *c)
{
    pthread_mutex_lock(&c->lock);
    bool busy = c->first || c->works;
    pthread_mutex_unlock(&c->lock);
    return busy;
}

void copies_stop(struct copies *c, bool removals)
{
    atomic_store(&c->stop_copies, true);
    if (removals)
        atomic_store(&c->stop_removals, true);
}
