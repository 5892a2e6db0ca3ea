/* fashion_data.c - see fashion_data.h. */
#include "fashion_data.h"

#include <stdio.h>
#include <zlib.h>

#define MAGIC_LABELS 0x0801u    /* unsigned bytes, one dimension */
#define MAGIC_IMAGES 0x0803u    /* three */
#define COUNT_MAX 1000000u

static uint32_t big_endian(const uint8_t b[4])
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static bool read_all(gzFile f, uint8_t *to, size_t size)
{
    while (size > 0) {
        unsigned chunk = size < 1u << 20 ? (unsigned)size : 1u << 20;
        if (gzread(f, to, chunk) != (int)chunk)
            return false;
        to += chunk;
        size -= chunk;
    }
    return true;
}

/* Open @dir/@name and read its header.  NULL: @why tells. */
static gzFile open_idx(const char *dir, const char *name, uint32_t magic, uint32_t *count,
                       char *why, size_t why_size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s-ubyte.gz", dir, name);
    gzFile f = gzopen(path, "rb");
    if (!f) {
        snprintf(why, why_size, "%s cannot be read (install dataset-fashion-mnist, or set "
                 "FASHION_MNIST to the directory that has it)", path);
        return NULL;
    }
    uint8_t header[16];
    size_t size = magic == MAGIC_IMAGES ? 16 : 8;
    bool ok = read_all(f, header, size) && big_endian(header) == magic
        && big_endian(header + 4) > 0 && big_endian(header + 4) <= COUNT_MAX
        && (size == 8 || (big_endian(header + 8) == 28 && big_endian(header + 12) == 28));
    if (!ok) {
        snprintf(why, why_size, "%s is not an IDX file of 28 x 28 images or their labels", path);
        gzclose(f);
        return NULL;
    }
    *count = big_endian(header + 4);
    return f;
}

bool fashion_open(const char *dir, struct fashion *out, char *why, size_t why_size)
{
    *out = (struct fashion){0};
    gzFile train = open_idx(dir, "train-labels-idx1", MAGIC_LABELS, &out->train, why, why_size);
    gzFile test = train ? open_idx(dir, "t10k-labels-idx1", MAGIC_LABELS, &out->test, why, why_size)
                        : NULL;
    if (train)
        gzclose(train);
    if (test)
        gzclose(test);
    return test != NULL;
}

/* Read @count items of one file to *@to and move it on. */
static bool read_idx(const char *dir, const char *name, uint32_t magic, uint32_t count, uint8_t **to,
                     char *why, size_t why_size)
{
    uint32_t found;
    gzFile f = open_idx(dir, name, magic, &found, why, why_size);
    if (!f)
        return false;
    size_t size = (size_t)count * (magic == MAGIC_IMAGES ? FASHION_PIXELS : 1);
    bool ok = found >= count && read_all(f, *to, size);
    if (!ok)
        snprintf(why, why_size, "%s/%s-ubyte.gz: at least %u items were expected", dir, name, count);
    gzclose(f);
    *to += size;
    return ok;
}

bool fashion_read(const char *dir, const struct fashion *header, struct fashion *to,
                  char *why, size_t why_size)
{
    *to = *header;
    uint8_t *at = to->bytes;
    bool ok = read_idx(dir, "train-images-idx3", MAGIC_IMAGES, to->train, &at, why, why_size)
        && read_idx(dir, "t10k-images-idx3", MAGIC_IMAGES, to->test, &at, why, why_size)
        && read_idx(dir, "train-labels-idx1", MAGIC_LABELS, to->train, &at, why, why_size)
        && read_idx(dir, "t10k-labels-idx1", MAGIC_LABELS, to->test, &at, why, why_size);
    for (size_t i = 0; ok && i < fashion_count(to); i++)
        if (fashion_labels(to)[i] >= FASHION_CLASSES) {
            snprintf(why, why_size, "label %zu is beyond the %u classes", i, FASHION_CLASSES);
            ok = false;
        }
    return ok;
}
