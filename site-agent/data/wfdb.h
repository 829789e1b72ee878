/* site-agent/data/wfdb.h - recordings in the WFDB format (PhysioNet: WFDB Applications Guide,
 * header(5) and signal(5)): a text header RECORD.hea and signal files beside it.
 *
 * Read: one segment; signal formats 8, 16, 80 and 212; one sample per frame, no skew; a byte
 * offset; gain, baseline and unit. Refused, by name: multi-segment records, other formats, several
 * samples per frame. The first sample and the 16-bit checksum of each signal, where the header
 * states them, must be right. A number is (digital - baseline) / gain, in the header's unit; the
 * format's lowest digital value (16: -32768, 212: -2048, 80: -128) is "not measured" and becomes
 * NaN. Any thread. */
#ifndef CSL_DATA_WFDB_H
#define CSL_DATA_WFDB_H
#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define CSL_WFDB_SIGNALS_MAX      64
#define CSL_WFDB_SAMPLES_MAX      (UINT64_C(1) << 28) /* per signal */
#define CSL_WFDB_HEADER_BYTES_MAX ((size_t)64 * 1024)
#define CSL_WFDB_FILE_BYTES_MAX   ((size_t)1 << 30)

struct csl_wfdb_signal {
    char file[128];  /* beside the header; no path */
    uint32_t format; /* 8, 16, 80 or 212 */
    uint64_t offset; /* bytes before the first sample */
    double gain;     /* digital units per physical unit; never 0 */
    int32_t baseline;
    char unit[24];
    bool has_initial, has_checksum;
    int32_t initial;
    uint16_t checksum; /* of the samples' sum modulo 2^16 */
};
struct csl_wfdb_header {
    double sampling_rate_hz;
    uint64_t samples; /* per signal; at least 1 */
    uint32_t signal_count;
    struct csl_wfdb_signal signals[CSL_WFDB_SIGNALS_MAX];
};

/* CSL_E_CORRUPT, CSL_E_UNSUPPORTED, CSL_E_LIMIT: "NAME:LINE:COLUMN: text"; what the file says is
 * never shown. Output untouched on failure. */
enum csl_code csl_wfdb_header_read(struct csl_wfdb_header *out, const char *name,
                                   struct csl_span text, struct csl_err *err) CSL_MUST_CHECK;
/* How many signals from number `first` on lie interleaved in one file. */
uint32_t csl_wfdb_group(const struct csl_wfdb_header *h, uint32_t first);
/* Samples start to start + count - 1 of the group of signals that begins at `first`, from the bytes
 * of its file: to[k * stride + i] is sample start + k of signal first + i; NaN behind the end. All
 * of the file is read for its checksums. CSL_E_CORRUPT: "NAME: text". */
enum csl_code csl_wfdb_samples(const struct csl_wfdb_header *h, uint32_t first, const char *name,
                               struct csl_span bytes, uint64_t start, uint64_t count, float *to,
                               size_t stride, struct csl_err *err) CSL_MUST_CHECK;

#endif
