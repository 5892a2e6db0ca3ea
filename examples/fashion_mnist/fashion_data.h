/* fashion_data.h - the Fashion-MNIST images as one block of memory.
 *
 * 60,000 training and 10,000 test images of clothes, 28 x 28 grey pixels, in
 * ten classes.  Debian has them in the package dataset-fashion-mnist, as four
 * gzip files of the IDX format (big-endian counts, then bytes).
 *
 * In memory it is a header, all images, all labels, without pointers inside:
 * so the block can lie in the object store and be read by any process.
 */
#ifndef FASHION_DATA_H
#define FASHION_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FASHION_DIR "/usr/share/datasets/fashion-mnist"  /* or $FASHION_MNIST */
#define FASHION_PIXELS 784u
#define FASHION_CLASSES 10u

struct fashion {
    uint32_t train, test;       /* how many images; the training ones come first */
    uint8_t reserved[56];       /* so that the images begin on a cache line */
    uint8_t bytes[];            /* images, then labels */
};

static inline size_t fashion_count(const struct fashion *f) { return (size_t)f->train + f->test; }
static inline const uint8_t *fashion_images(const struct fashion *f) { return f->bytes; }
static inline const uint8_t *fashion_labels(const struct fashion *f)
{
    return f->bytes + fashion_count(f) * FASHION_PIXELS;
}
/* Of the whole block, header included. */
static inline size_t fashion_bytes(const struct fashion *f)
{
    return sizeof *f + fashion_count(f) * (FASHION_PIXELS + 1);
}

/* Read the counts from the files in @dir to *@out (its header only).  False:
 * @why tells which file is missing or wrong. */
bool fashion_open(const char *dir, struct fashion *out, char *why, size_t why_size);
/* Fill @to, fashion_bytes(@header) of memory.  Where @header asks for fewer images than there
 * are, these are the first ones.  False as above. */
bool fashion_read(const char *dir, const struct fashion *header, struct fashion *to,
                  char *why, size_t why_size);

#endif
