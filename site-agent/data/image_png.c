/* The only file that knows libpng. Its classic interface reports errors by longjmp; the simplified
 * one (png_image) does not, and is enough. */
#include "site-agent/data/image.h"

#include "base/buf.h"
#include "base/mem.h"

#include <png.h>
#include <string.h>

#include "base/banned.h"

#define HEADER_BYTES   8  /* of the file */
#define CHUNK_OVERHEAD 12 /* length, type, checksum */

static const uint8_t signature[HEADER_BYTES] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Copies the chunks that hold pixels. libpng checks their order and checksums. */
static enum csl_code keep_pixels(struct csl_buf *to, const char *name, struct csl_span b,
                                 struct csl_err *err)
{
    size_t at = HEADER_BYTES;
    csl_buf_append(to, signature, HEADER_BYTES);
    while (b.n - at >= CHUNK_OVERHEAD) {
        uint32_t n = be32(b.p + at);
        const uint8_t *type = b.p + at + 4;
        if (n > b.n - at - CHUNK_OVERHEAD)
            break;
        if (memcmp(type, "tRNS", 4) == 0)
            return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                            "%s: has transparency; an opaque image would be right", name);
        if (memcmp(type, "IHDR", 4) == 0 || memcmp(type, "PLTE", 4) == 0 ||
            memcmp(type, "IDAT", 4) == 0 || memcmp(type, "IEND", 4) == 0)
            csl_buf_append(to, b.p + at, CHUNK_OVERHEAD + (size_t)n);
        at += CHUNK_OVERHEAD + (size_t)n;
        if (memcmp(type, "IEND", 4) == 0 && at == b.n)
            return csl_buf_status(to, err);
    }
    return CSL_FAIL(err, CSL_E_CORRUPT, "%s: the PNG is cut off, or has bytes behind its end",
                    name);
}

/* What IHDR says, before anything is asked of libpng. */
static enum csl_code read_head(const char *name, struct csl_span b, uint32_t *channels,
                               bool *is_deep, struct csl_image *image, struct csl_err *err)
{
    if (b.n < HEADER_BYTES + CHUNK_OVERHEAD + 13 || memcmp(b.p, signature, HEADER_BYTES) != 0 ||
        be32(b.p + 8) != 13 || memcmp(b.p + 12, "IHDR", 4) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: the head of the PNG is damaged or cut off", name);
    uint8_t depth = b.p[24], colour = b.p[25];
    if (colour == 4 || colour == 6)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "%s: has transparency; an opaque image would be right", name);
    *channels = colour == 0 ? 1 : 3;
    *is_deep = depth == 16;
    return csl_image_new__(image, name, be32(b.p + 20), be32(b.p + 16), *channels, err);
}

static enum csl_code decode(const char *name, const struct csl_buf *b, bool is_deep,
                            struct csl_image *image, struct csl_err *err)
{
    png_image png;
    size_t values = (size_t)image->height * image->width * image->channels;
    memset(&png, 0, sizeof(png));
    png.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_memory(&png, b->p, b->n) || png.width != image->width ||
        png.height != image->height) {
        png_image_free(&png);
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: libpng refuses its head: %s", name, png.message);
    }
    /* without a gamma in the file 16 bits are taken as linear and 8 as sRGB: both stay as they are
     */
    png.format = image->channels == 1 ? (is_deep ? PNG_FORMAT_LINEAR_Y : PNG_FORMAT_GRAY)
                                      : (is_deep ? PNG_FORMAT_LINEAR_RGB : PNG_FORMAT_RGB);
    uint8_t *bytes = is_deep ? NULL : csl_alloc(values);
    if (!is_deep && bytes == NULL) {
        png_image_free(&png);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the pixels of %s", name);
    }
    int ok = png_image_finish_read(&png, NULL, is_deep ? (void *)image->pixels : bytes, 0, NULL);
    bool is_whole = ok != 0 && (png.warning_or_error & PNG_IMAGE_WARNING) == 0;
    for (size_t i = 0; is_whole && !is_deep && i < values; i++)
        image->pixels[i] = bytes[i];
    csl_free(bytes);
    if (!is_whole) {
        png_image_free(&png);
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: libpng refuses its pixels: %s", name, png.message);
    }
    return CSL_OK;
}

enum csl_code csl_image_read_png(struct csl_image *out, const char *name, struct csl_span bytes,
                                 struct csl_err *err)
{
    struct csl_image image = {.pixels = NULL};
    struct csl_buf kept;
    uint32_t channels = 0;
    bool is_deep = false;
    enum csl_code code = read_head(name, bytes, &channels, &is_deep, &image, err);
    if (code != CSL_OK)
        return code;
    csl_buf_init(&kept, CSL_IMAGE_FILE_BYTES_MAX);
    code = keep_pixels(&kept, name, bytes, err);
    if (code == CSL_OK)
        code = decode(name, &kept, is_deep, &image, err);
    csl_buf_release(&kept);
    if (code == CSL_OK)
        *out = image;
    else
        csl_image_release(&image);
    return code;
}
