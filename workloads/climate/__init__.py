"""Maps of the atmosphere -> background, tropical cyclones, atmospheric rivers, after SC18 and MLPerf HPC DeepCAM."""
