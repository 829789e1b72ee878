# csl_fuzz(NAME SOURCES fuzz_x.c LINK csl_x CORPUS corpus/x): one harness, two uses.
#   CSL_FUZZ=ON (clang)  a libFuzzer program; its ctest (label fuzz) runs it for CSL_FUZZ_SECONDS, starting from the
#                        corpus, and keeps what it finds in the build folder. `ninja csl_fuzzers` builds them all.
#   otherwise            a program that replays the corpus, every prefix and a few thousand changed bytes of it, with
#                        the flags of the build (ctest label fuzz-smoke).
# A harness defines LLVMFuzzerTestOneInput, declared in tests/fuzz/fuzz.h. CORPUS is relative to the calling folder
# and holds at least one file; an input that once failed is added to it.
set(CSL_FUZZ_SECONDS 20 CACHE STRING "How long the ctest of one libFuzzer program runs")
if(CSL_FUZZ AND NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "CSL_FUZZ=ON needs clang: cmake -DCMAKE_C_COMPILER=clang, or the preset fuzz")
endif()
if(CSL_FUZZ)
  add_custom_target(csl_fuzzers)
endif()

function(csl_fuzz name)
  cmake_parse_arguments(F "" "CORPUS" "SOURCES;LINK" ${ARGN})
  get_filename_component(corpus "${F_CORPUS}" ABSOLUTE BASE_DIR ${CMAKE_CURRENT_SOURCE_DIR})
  if(CSL_FUZZ)
    add_executable(${name} ${F_SOURCES})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer,address,undefined)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer,address,undefined)
    add_dependencies(csl_fuzzers ${name})
    set(found ${CMAKE_BINARY_DIR}/fuzz-corpus/${name})
    file(MAKE_DIRECTORY ${found})
    add_test(NAME ${name} COMMAND ${name} -max_total_time=${CSL_FUZZ_SECONDS} -timeout=10
      -rss_limit_mb=2048 -print_final_stats=1 ${found} ${corpus})
    math(EXPR timeout "${CSL_FUZZ_SECONDS} + 120")
    set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT ${timeout})
  else()
    add_executable(${name} ${F_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.c)
    add_test(NAME ${name} COMMAND ${name} ${corpus})
    set_tests_properties(${name} PROPERTIES LABELS fuzz-smoke TIMEOUT 120)
  endif()
  target_link_libraries(${name} PRIVATE csl::flags ${F_LINK})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endfunction()
