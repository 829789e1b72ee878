/* site-agent/data/image.h - image files from folders nobody vouches for, as numbers.
 *
 * PGM: binary greymaps ("P5", Netpbm specification), one image per file, 8 or 16 bits, read here.
 * PNG: read by libpng's simplified interface, after everything but the chunks that hold pixels
 * (IHDR, PLTE, IDAT, IEND; PNG specification, 5.6) has been left out: no text, profile or gamma is
 * looked at, so that a pixel's number is the one in the file. Grey of 1, 2 and 4 bits is spread
 * over 0 to 255 and a palette becomes RGB. Refused: transparency, animation beyond the first frame
 * is not seen. Every size is checked before memory is asked for. Any thread. */
#ifndef CSL_DATA_IMAGE_H
#define CSL_DATA_IMAGE_H
#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

#include <stdint.h>

#define CSL_IMAGE_FILE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define CSL_IMAGE_VALUES_MAX     CSL_FEATURES_MAX /* height x width x channels */

struct csl_image {
    uint32_t height, width, channels; /* channels 1 or 3 */
    uint16_t *pixels;                 /* [height, width, channels]; owned */
};
void csl_image_release(struct csl_image *i);

/* By the first bytes of the file. CSL_E_CORRUPT or CSL_E_UNSUPPORTED: "NAME: text" or
 * "NAME:LINE: text"; CSL_E_LIMIT: larger than CSL_IMAGE_VALUES_MAX. Outputs untouched on failure.
 */
enum csl_code csl_image_read(struct csl_image *out, const char *name, struct csl_span bytes,
                             struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_image_read_pgm(struct csl_image *out, const char *name, struct csl_span bytes,
                                 struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_image_read_png(struct csl_image *out, const char *name, struct csl_span bytes,
                                 struct csl_err *err) CSL_MUST_CHECK;
/* 1 or 3 channels; checks the size and asks for the memory. */
enum csl_code csl_image_new__(struct csl_image *out, const char *name, uint64_t height,
                              uint64_t width, uint32_t channels,
                              struct csl_err *err) CSL_MUST_CHECK;

#endif
