/* tests/unit/world/mixed_records.h - record files of hospitals that hold different modalities. */
#ifndef CSL_TEST_WORLD_MIXED_RECORDS_H
#define CSL_TEST_WORLD_MIXED_RECORDS_H
#include <stdint.h>

/* 60 patients of the synthetic hospital that has every modality (xray, ultrasound, ecg, heart;
 * labels of the same names but for heart). keeps: what is left of it, in every record; NULL: no
 * second one. */
void mixed_records(const char *path, uint64_t seed, const char *const keeps[2]);

#endif
