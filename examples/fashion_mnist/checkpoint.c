/* checkpoint.c - see checkpoint.h. */
#include "checkpoint.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "fashion-mnist 1"

struct head {
    char magic[sizeof MAGIC];
    uint32_t epoch;
    struct mlp_shape shape;
};

static bool write_all(FILE *f, const struct trainer *t, const struct head *head)
{
    size_t weights = mlp_weights(t->m->shape);
    return fwrite(head, sizeof *head, 1, f) == 1 && fwrite(t->m->weights, sizeof(float), weights, f) == weights &&
           fwrite(mlp_velocity(t->work), sizeof(float), weights, f) == weights;
}

bool checkpoint_save(const char *dir, const struct trainer *t, uint32_t epoch, char *why, size_t why_size)
{
    char fresh[PATH_MAX], path[PATH_MAX];
    struct head head = {.magic = MAGIC, .epoch = epoch, .shape = t->m->shape};
    snprintf(path, sizeof path, "%s/network", dir);
    snprintf(fresh, sizeof fresh, "%s/network.new", dir);
    FILE *f = fopen(fresh, "wbe");
    bool ok = f && write_all(f, t, &head);
    if (f && fclose(f) != 0)
        ok = false;
    if (ok && rename(fresh, path) == 0)
        return true;
    snprintf(why, why_size, "%s: %s", fresh, strerror(errno));
    return false;
}

static bool read_all(FILE *f, struct trainer *t, struct head *head)
{
    size_t weights = mlp_weights(t->m->shape);
    return fread(head, sizeof *head, 1, f) == 1 && memcmp(head->magic, MAGIC, sizeof MAGIC) == 0 &&
           memcmp(&head->shape, &t->m->shape, sizeof head->shape) == 0 && head->epoch > 0 &&
           fread(t->m->weights, sizeof(float), weights, f) == weights &&
           fread(mlp_velocity(t->work), sizeof(float), weights, f) == weights;
}

long checkpoint_load(const char *dir, struct trainer *t, char *why, size_t why_size)
{
    char path[PATH_MAX];
    struct head head;
    snprintf(path, sizeof path, "%s/network", dir);
    FILE *f = fopen(path, "rbe");
    if (!f && errno == ENOENT)
        return 0;
    bool ok = f && read_all(f, t, &head);
    if (!ok)
        snprintf(why, why_size, "%s: %s", path, f ? "no checkpoint of a network of this shape" : strerror(errno));
    if (f)
        fclose(f);
    return ok ? (long)head.epoch : -1;
}
