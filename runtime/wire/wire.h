/* wire.h - struct msg to msgpack and back.  With value.h, the only msgpack.
 *
 * A record is an array: the kind's number, then the fields of the struct of
 * core/msg.h in order.  Addresses, ids, places, resources and results are
 * arrays too; arrays of structs are arrays of arrays (their head is the count,
 * which is no field of its own).  Spans are str where they hold one text for
 * people, bin elsewhere; a hash is bin of 16 bytes, high word first, big endian.
 * Numbers are the shortest that msgpack has; any length is read.  Records stand
 * back to back in a frame's body.  Which field is what: wire_schema.c.
 *
 * Encoding goes through msgpack-c's packer.  Decoding never lets msgpack-c's
 * unpacker near foreign bytes, since it allocates by counts that it was told:
 * wire_walk() first checks the whole record without allocating (depth <=
 * WIRE_DEPTH_MAX, items <= WIRE_ITEMS_MAX and no more than there are bytes,
 * lengths within what remains), then typed readers take one field each and
 * check type, range and enum.  Arrays are allocated from the scratch only for
 * counts that the walk has seen; a record that is refused has taken less than
 * 1 MiB of it.
 */
#ifndef COVEY_WIRE_WIRE_H
#define COVEY_WIRE_WIRE_H

#include "core/buf.h"
#include "core/msg.h"
#include "core/scratch.h"

#define WIRE_DEPTH_MAX 8
#define WIRE_ITEMS_MAX (16u * 1024 * 1024)

/* Append the record of @msg.  On error @out is as long as before.
 *
 * COVEY_ENOMEM   also @out->failed
 * COVEY_ETOOBIG  beyond MSG_BYTES_MAX, or a text, blob or array beyond its own
 *                limit
 * COVEY_EINVAL   another field that the decoder would refuse: no such enum
 *                value, a negative amount, a custom resource without a name or
 *                with one twice */
covey_status wire_encode(struct buf *out, const struct msg *msg);

/* How long the record at the front of @bytes is.  Allocates nothing.
 * COVEY_EPROTO: truncated, too deep, too many items, a type we never send. */
covey_status wire_walk(struct span bytes, size_t *len);

/* Decode the record at the front; *@used is its length.  Spans in @out alias
 * @bytes, arrays lie in @scratch.  On error @why (which may have no room) names
 * the message and field that was wrong ("TASK.attempt: expected a number").
 * COVEY_EPROTO, COVEY_EVERSION (door records only), COVEY_ENOMEM. */
covey_status wire_decode(struct span bytes, size_t *used, struct scratch *scratch,
                         struct msg *out, char *why, size_t why_size);

const char *msg_name(enum msg_kind kind);

#endif
