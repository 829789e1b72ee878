/* cli/export/export.h - a model's parameters for other programs. Each function writes PATH.tmp and
 * renames it, so that PATH is whole or absent; the same model gives the same bytes. One thread. */
#ifndef CSL_EXPORT_H
#define CSL_EXPORT_H
#include "coordinator/model/model_file.h"
#include "protocol/study/study.h"

/* NumPy .npz: a zip archive, stored, of one .npy (format 1.0, little-endian float32, row-major) per
 * tensor, named like it. CSL_E_LIMIT at 4 GiB; CSL_E_UNSUPPORTED: two tensors of the same name. */
enum csl_code csl_export_npz(const struct csl_model_file *m, const char *path,
                             struct csl_err *err) CSL_MUST_CHECK;
/* safetensors: 8 bytes with the length of a JSON header, the header (padded with blanks so that the
 * data is aligned to 8 bytes), then the parameters as they lie in the model. The header's
 * __metadata__ has study, study_digest, schema_digest, model_digest and round.
 * CSL_E_UNSUPPORTED: two tensors of the same name.
 * SOURCE: https://github.com/huggingface/safetensors, README.md, "Format". */
enum csl_code csl_export_safetensors(const struct csl_model_file *m, const char *path,
                                     struct csl_err *err) CSL_MUST_CHECK;
/* block,tensor,index,value: one row per parameter, index row-major within the tensor; nine
 * significant digits, which read back as the same float32. */
enum csl_code csl_export_csv(const struct csl_model_file *m, const char *path,
                             struct csl_err *err) CSL_MUST_CHECK;
/* ONNX: the network of one domain, number `domain` of the study the model was trained in, from raw
 * values to what csl_trainer_predict gives.
 *
 *   features [records, D], image [records, height, width, channels], signal [records, samples,
 *   channels], series or embedding, float32, or tokens [records, ids], int64  ->  probability
 *   [records, 1], probabilities [records, classes] or log_hazard_ratio [records, 1], float32
 *
 * In a study with inputs, of that domain or of all (CSL_EXPORT_ALL_DOMAINS): for each input that
 * one of them reads its values, named like it, and INPUT/present, bool [records, 1], false where
 * the record lacks it; DOMAIN/probability, .. of each. What stands in the place of an absent input
 * is not used.
 * An adapter is in the weights it belongs to.
 *
 * With CSL_SCALING_CONSTANTS the graph holds the study's constants and does what the data module
 * does, in float64: (x - centre) / scale, a missing value (NaN) becomes 0, then the cut to
 * [-clip, clip]. With CSL_SCALING_SITE each site has its own constants, which never leave it: the
 * input must be standardised already; the graph does the rest. doc_string and metadata say which.
 *
 * CSL_E_INVAL: a model of another study; CSL_E_UNSUPPORTED: a layer that has no ONNX node here, or
 * a part of the network that is trained by each site for itself; CSL_E_LIMIT: above the 2 GiB of a
 * protobuf message.
 * SOURCE: https://github.com/onnx/onnx, onnx/onnx.proto and docs/Operators.md; IR version 7,
 * operator set 13, which every runtime since 2020 reads. */
#define CSL_EXPORT_ALL_DOMAINS UINT32_MAX
enum csl_code csl_export_onnx(const struct csl_model_file *m, const struct csl_study *study,
                              uint32_t domain, const char *path,
                              struct csl_err *err) CSL_MUST_CHECK;

#endif
