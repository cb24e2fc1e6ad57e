"""Scaling tables as public repositories keep them: their figures and headings, cut to a few lines where they are long.

Each is a file name, the text, the options that it needs (none if it is read as it is), and what is read of it: the
number of series, the kind, and of one series (the first, or the one that is named) its first and last number of workers with the efficiency
there, as the table itself has it or as follows from it. Where it cannot be read, a part of the refusal stands in place of all that.
"""

from typing import Any, NamedTuple


class Real(NamedTuple):
    name: str
    text: str
    series: int = 1
    kind: str = ""
    last: int = 0
    efficiency: float = 0.0
    of: str | None = None
    options: dict[str, Any] = {}
    refused: str = ""


TABLES = [
    # SPECFEM/scaling-benchmarks, Frontera: a header in a comment, further comments behind the data
    Real("strongscaling.dat", "# strong scaling\n#\n# Frontera \n# Nov. 23, 2020\n#\n#nodes  #nproc  #nex_xi #elem_per_slice #total time  -> time_per_timestep_per_elem = total_time / 300 / elem_per_slice\n#2       24      256     188160          474.284482282586\n\n# 48 cores-per-node\n2       96      256     47040           176.788225409575\n8       384     256     11760           45.1629759455100\n32      1536    256     2940            11.9457483720034\n128\t6144\t256\t735\t\t3.39151705568656\n\n# from tmp_strong.dat\n#24 1.58095 0.0730833 474.284482282586 ##./RUN/CPUstrong24/OUTPUT_FILES/output_solver.txt-\n",
         kind="strong", last=6144, efficiency=0.8145),
    # SPECFEM/scaling-benchmarks, Frontera: weak, of meshes that cannot be cut as one wishes; remarks behind a row
    Real("weakscaling.dat", "# weak scaling\n#\n#nodes  #nproc  #nex_xi #elem_per_slice #total time  -> time_per_timestep_per_elem = total_time / 300 / elem_per_slice\n#1       24      128     38464           111.373443631455\n\n# 48 cores-per-node\n2       96      256     47040           176.558749153279\n8       384     384     42552           153.763924910687\n#16      864     576     54180           215.351388461888   # ntasks-per-node=54\n32      1536    640     37825           135.759773090249\n128\t6144\t1024\t40640\t\t146.254489035578\n",
         kind="weak", last=6144, efficiency=1.0430),
    # SPECFEM/scaling-benchmarks, Titan: tabs of any number; names in a comment, a unit in brackets; a time per step and one of all
    Real("strong-scaling-dec2018.dat", "# strong scaling benchmark - Titan\n# daniel peter, dec 2018\n#\n#nproc \t#nproc_xi\t# avg time per time step\t#total elapsed time (s)\n24\t2\t\t0.07102\t\t\t\t21.3082\n96\t4\t\t0.018126\t\t\t5.4378\n384\t8\t\t0.0052\t\t\t\t1.56\n",
         kind="strong", last=384, efficiency=0.8537),
    # SPECFEM/scaling-benchmarks, Summit: the time of an element, which stays the same
    Real("weak-scaling-dec2018.dat", "# weak scaling\n# Wenjie Lei, Dec 2018\n\n#nproc\t#nex_xi #elem_per_slice #time_per_timestep_per_elem\n96      256     47040\t\t7.66e-8     # (result from strong scaling run CPUstrong96)\n216\t288\t31968\t\t7.48e-8\n384\t384\t42552\t\t7.20e-8\n600\t480\t42984\t\t7.32e-8\n1536\t640\t37825\t\t7.61e-8\n2400\t800\t47700\t\t7.98e-8\n",
         kind="weak", last=2400, efficiency=0.9599),
    # lanl/benchmarks, Branson: problem sizes under each other
    Real("branson_single_scale.csv", "Iteration,Photons,Nodes,Photons/s\n1,10,8,389526.944845\n1,10,32,1118661.454450\n1,10,112,3199066.384466\n1,66,8,540217.631093\n1,66,32,1123452.119160\n1,66,112,3160933.921874\n1,200,8,555655.848349\n1,200,32,1121140.510231\n1,200,112,3191200.914483\n",
         series=3, kind="strong", last=112, efficiency=0.5866, of="Photons=10"),
    # lanl/benchmarks, Branson: two columns of one name
    Real("branson_roci_scale.csv", "Iteration,Photons,Nodes,Photons/s,Photons/s\n1,2720,32,9.20E+07,2.87E+06\n1,5440,64,1.89E+08,2.95E+06\n1,8160,96,2.73E+08,2.85E+06", refused="--throughput-column 4 or --throughput-column 5"),
    Real("branson_roci_scale.csv", "Iteration,Photons,Nodes,Photons/s,Photons/s\n1,2720,32,9.20E+07,2.87E+06\n1,5440,64,1.89E+08,2.95E+06\n1,8160,96,2.73E+08,2.85E+06",
         kind="weak", last=96, efficiency=0.9891, options={"throughput_column": ("4",)}),
    # lanl/benchmarks, Branson: blanks behind commas; a column without a name for what it is, told by the ideal beside it
    Real("cpu_66M.csv", "No. Cores, Actual, Ideal, Memory\n8,9.20E+04,9.20E+04, 11.04\n32,3.62E+05,3.68E+05, --\n56,5.76E+05,6.44E+05, --\n88,7.74E+05,1.01E+06, --\n112,9.52E+05,1.29E+06, 58.44\n", last=112, efficiency=0.7391),
    # lanl/benchmarks, UMT
    Real("spp1_strong_scaling_cts2.csv", "Cores,Actual,Ideal\n1,34062747.19,34062747.19\n4,90370192.43,136250988.8\n8,147031658.3,272501977.5\n112,420569616.1,3815027685\n", kind="strong", last=112, efficiency=0.1102),
    Real("roci_spr_p1_plot.csv", "nprocs,Actual,Ideal\n1,125169000.0,125169000.0\n8,1062590000.0,1001352000.0\n112,7830500000.0,14018928000.0\n", last=112, efficiency=0.5586),
    # lanl/benchmarks, Parthenon: from many to few; rates of all and of a node
    Real("weak.csv", "Nodes,aggregate-FOM,per-node-FOM,per-node-Ideal\n4096,3.65E+09,8.91E+05,7.10E+06\n1024,2.36E+09,2.30E+06,7.10E+06\n64,2.67E+08,4.17E+06,7.10E+06\n2,1.42E+07,7.10E+06,7.10E+06", kind="weak", last=4096, efficiency=0.1255),
    Real("parthenon_scale.csv", "Iteration,NX,Nodes,Zcycles/sec\n1,384,32,4.88e+08\n1,384,64,8.36e+08\n1,384,96,1.20e+09\n1,448,32,5.13e+08\n1,448,64,9.17e+08\n1,448,96,9.64e+08\n1,512,32,4.63e+08\n1,512,64,8.05e+08\n1,512,96,1.10e+09\n",
         series=3, kind="strong", last=96, efficiency=0.6264, of="NX=448"),
    # lanl/benchmarks, AMG: columns by problem, of which nothing says what they are
    Real("amg_weak.csv", "Nodes,Problem1,Problem2,p1-per-node-FOM,p2-per-node-FOM\n32,3.90E+09,1.58E+09,1.22E+08,4.93E+07\n64,5.94E+09,2.23E+09,9.28E+07,3.48E+07\n128,8.39E+09,2.92E+09,6.56E+07,2.28E+07\n", refused="choose: --throughput-column 'p1-per-node-FOM' or"),
    Real("amg_weak.csv", "Nodes,Problem1,Problem2,p1-per-node-FOM,p2-per-node-FOM\n32,3.90E+09,1.58E+09,1.22E+08,4.93E+07\n64,5.94E+09,2.23E+09,9.28E+07,3.48E+07\n128,8.39E+09,2.92E+09,6.56E+07,2.28E+07\n",
         series=2, kind="weak", last=128, efficiency=0.462, of="Problem2", options={"throughput_column": ("Problem1", "Problem2")}),
    # lanl/benchmarks, AMG: no header
    Real("roci_1_120.csv", "1,1.5252E+08,1.5252E+08\n2,3.0361E+08,1.5181E+08\n4,5.4734E+08,1.3683E+08\n64,4.4071E+09,6.8861E+07\n", refused="--workers-column 1"),
    Real("roci_1_120.csv", "1,1.5252E+08,1.5252E+08\n2,3.0361E+08,1.5181E+08\n4,5.4734E+08,1.3683E+08\n64,4.4071E+09,6.8861E+07\n", last=64, efficiency=0.4515, options={"workers_column": "1", "throughput_column": ("2",)}),
    # lanl/benchmarks, MiniEM: processing elements in a part of a node
    Real("ats3-0768k.csv", "PEs / NUMA Domain,PEs / NUMA Domain (%),Inputfile Elements,Cells,MaxRSS (GiB),Actual FOM (k-cell-steps/sec),Ideal FOM (k-cell-steps/sec)\n1,0.071,40,768000,18.10,1683.32,1683.32\n4,0.286,40,768000,23.62,5307.57,6733.28\n14,1.000,40,768000,43.25,6311.29,23566.48\n", kind="strong", last=14, efficiency=0.2678),
    # ssciwr/jove-performance: milliseconds, names with blanks, in a comment
    Real("scaling_4.txt", "# AMD Ryzen 3900x\n# threads       wall clock (ms)\n1               456625\n2               233758\n3               173414\n4               148432\n24              97540\n", kind="strong", last=24, efficiency=0.1951),
    # octol/paryee: blanks, no header, a column for each implementation
    Real("tests_scaling.tsv", "1 15.120121 14.886772 17.553801 16.032180\n2 15.071980 7.358162 10.629491 6.350681\n4 15.352253 4.272440 6.029144 2.657371\n6 15.401924 3.115376 4.576633 1.766417\n", refused="no column of workers"),
    Real("tests_scaling.tsv", "1 15.120121 14.886772 17.553801 16.032180\n2 15.071980 7.358162 10.629491 6.350681\n4 15.352253 4.272440 6.029144 2.657371\n6 15.401924 3.115376 4.576633 1.766417\n",
         series=3, kind="strong", last=6, efficiency=0.7964, of="column 3", options={"workers_column": "1", "time_column": ("3", "4", "5")}),
    # JorgeMejiaH/Reto3: semicolons, repeats, problem sizes
    Real("MonteCarloMPI.csv", "Size;Process;Time\n100000000;2;2.251379\n1000000000;2;21.919350\n100000000;4;2.224514\n1000000000;4;22.497644\n100000000;8;1.142336\n1000000000;8;5.711521\n100000000;2;2.184581\n1000000000;2;21.901625\n100000000;4;1.129977\n1000000000;4;11.257266\n100000000;8;1.137863\n1000000000;8;5.698771\n",
         series=2, kind="strong", last=8, efficiency=0.9601, of="Size=1000000000"),
    # rodarima/sa: a statistic beside the mean; a problem size in every row
    Real("times.csv", "p,n,runs,mean time ms,std time ms\n1,65536,200,0.066141,0.001216\n2,65536,200,0.034125,0.001328\n4,65536,200,0.020449,0.032436\n32,65536,200,0.016721,0.010644\n1,1048576,200,1.054783,0.003921\n2,1048576,200,0.528952,0.005350\n4,1048576,200,0.270059,0.032666\n32,1048576,200,0.048059,0.010614\n",
         series=2, kind="strong", last=32, efficiency=0.6859, of="n=1048576"),
    # rodarima/sa: as numpy.savetxt writes it, with points that failed
    Real("inception_v4.csv", "1.000000000000000000e+00 6.700000000000000000e+01 1.365300000000000011e+02\n2.000000000000000000e+00 1.090000000000000000e+02 8.018999999999999773e+01\n4.000000000000000000e+00 1.120000000000000000e+02 4.567999999999999972e+01\n8.000000000000000000e+00 nan nan\n1.600000000000000000e+01 nan nan\n",
         kind="strong", last=4, efficiency=0.7472, options={"workers_column": "1", "time_column": ("3",)}),
    # FreeON/spammpack: names in quotes, of which one is a problem size
    Real("mustang.dat", '"nodes" "2038x64"\n1 22.925205\n2 16.800365\n4 9.912256\n8 5.379149\n60 1.753189\n', refused="--time-column '2038x64'"),
    Real("mustang.dat", '"nodes" "2038x64"\n1 22.925205\n2 16.800365\n4 9.912256\n8 5.379149\n60 1.753189\n', kind="strong", last=60, efficiency=0.2179, options={"time_column": ("2038x64",)}),
    # leonf88/KVCBench: a name that is empty
    Real("all.data", '"" Hadoop DataMPI\n8  5612 3804\n16 2523 1692\n32 1247 829\n64 596  394\n', series=2, kind="strong", last=64, efficiency=1.1770, of="Hadoop", options={"workers_column": "1", "time_column": ("Hadoop", "DataMPI")}),
    # mvsjober/ml-benchmarks: series by three columns, dates, a run that failed
    Real("results.md", "| Benchmark                 | Framework            | Cluster | GPUs | Date       | Img/sec |\n|---------------------------|----------------------|---------|------|------------|---------|\n| DDP, synthetic            | PyTorch 1.11.0+cu115 | mahti   | 1    | 2022-05-18 | 758.90  |\n| DDP, synthetic            | PyTorch 1.11.0+cu115 | mahti   | 4    | 2022-05-18 | 2836.54 |\n| DDP, synthetic            | PyTorch 1.11.0+cu115 | mahti   | 8    | 2022-05-18 | 5502.49 |\n| Horovod, synthetic        | PyTorch 1.11.0+cu115 | mahti   | 8    | 2022-05-18 | 4967.57 |\n| DDP, synthetic            | PyTorch 1.11.0+cu113 | puhti   | 1    | 2022-05-18 | 325.95  |\n| DDP, synthetic            | PyTorch 1.11.0+cu113 | puhti   | 4    | 2022-05-18 | 1217.10 |\n| DDP, synthetic            | PyTorch 1.11.0+cu113 | puhti   | 8    | 2022-05-18 | 2420.71 |\n| Horovod, Imagenet data    | PyTorch 1.11.0+cu113 | puhti   | 8    | 2022-05-18 | ERROR   |\n",
         series=2, last=8, efficiency=0.9063),
    # dawid27xx/mpi-cwk: names with blanks over lines of =
    Real("readme.txt", "No. Machines:   Total No. Processes:     Mean time (average of 3 runs) in seconds:        Parallel speed-up, S:\n=============   ====================     =========================================        =====================\n1                       1                 0.00508                                          1.00                  \n1                       2                 0.00377                                          1.34965\n1                       4                 0.00289                                          1.75630\n1                       8                 0.00192                                          2.64935\n2                       16                0.02434                                          0.20885\n",
         kind="strong", last=16, efficiency=0.0130),
    # MichaelWiciak/parallelgpu: tabs and blanks mixed
    Real("readme2.txt", "No. Process:          Mean time (average of 3 runs)           Parallel speed-up, S:\n============          =============================           =====================\n1\t                    0.019868                                1.0\n2 \t                  0.011297                                1.758696999203328\n3 \t                  0.007503                                2.648007463681194\n4\t                    0.005903                                3.365746230730137\n", kind="strong", last=4, efficiency=0.8414),
    # usnistgov/hiperc, issue 107: a unit in every cell
    Real("knl.md", "| Threads | Time      |\n| ----- | -------------- |\n|    32 | 117.2 sec |\n|    64 | 64.41 sec |\n|   128 | 62.60 sec |\n|   256 | 61.59 sec |\n", kind="strong", last=256, efficiency=0.2379),
    # dftbplus/dftbplus, issue 140: leading zeros, no header
    Real("dftb.txt", "01  4766.60 \n02  4099.46 \n04  1274.40 \n96   191.04 \n", kind="strong", last=96, efficiency=0.2599, options={"workers_column": "1", "time_column": ("2",)}),
    # anuga-community/anuga_core: times of parts, of which none is called the time of all
    Real("anuga.csv", "np,ntri,perfect,ctime,dtime,etime\n48, 1000000, 1, 2.664867, 6.768517, 4.274853\n96, 1000000, 2, 2.658987, 6.908201, 3.065186\n192, 1000000, 4, 2.581093, 7.691170, 1.287621\n384, 1000000, 8, 2.576281, 12.940879, 0.917001\n",
         kind="strong", last=384, efficiency=0.5827),
    # rkronberg/chem-benchmarks: few points of each series
    Real("gromacs.md", "| Module        | Benchmark         | System | MPI ranks | Threads/rank | GPUs | Performance (ns/day) | Date       |\n|---------------|-------------------|--------|-----------|--------------|------|----------------------|------------|\n| `2023.2-gpu`  | `gromacs-stmv.sh` | LUMI   | 1         | 7            | 0.5  | 15.564               | 2023-09-14 |\n| `2023.2-gpu`  | `gromacs-stmv.sh` | LUMI   | 8         | 7            | 4    | 78.905               | 2023-09-14 |\n",
         last=8, efficiency=0.6337),
    # tpf-concurrent-benchmarks/image_processing_cpp: points are columns
    Real("cloud.md", "| Measurement             | 2 Nodes              | 4 Nodes              | 6 Nodes              |\n| ----------------------- | -------------------- | -------------------- | -------------------- |\n| Combined Throughput     | 75.2 Results/Second  | 84 Results/Second    | 119 Results/Second   |\n| Max Work-time Variation | 1.1 %                | 1.9 %                | 3.3 %                |\n| Max Memory Usage        | 180 MB/Worker        | 97 MB/Worker         | 75 MB/Worker         |\n", last=6, efficiency=0.5275),
    # faizfhri/hpc-kel4: objects by name within an object
    Real("kel4.json", '{"matrix_size": 1000, "num_processes": 4, "tests": {"serial": {"success": true, "execution_time": 18.5, "mode": "serial", "num_processes": 1}, "single_node": {"success": true, "execution_time": 5.2, "speedup": 3.56, "efficiency": 0.89, "mode": "single_node", "num_processes": 4}, "multi_node": {"success": true, "execution_time": 5.8, "speedup": 3.19, "efficiency": 0.80, "mode": "multi_node", "num_processes": 4}}}',
         kind="strong", last=4, efficiency=0.8409),
    # scaling notes of AuroraGPT-20B: means with their spread, thousands, rates of all and of a GPU
    Real("aurora.md", "# AuroraGPT-20B Scaling\n\n## Sunspot Weak Scaling (torch 2.10, 1–64 nodes)\n\n| Nodes | GPUs | TPS/GPU | Total TPS | MFU | Memory | Efficiency |\n|-------|------|---------|-----------|-----|--------|------------|\n| 1 | 12 | 406+/-2 | 4,872+/-33 | 20.3% | 48.52 GiB (76%) | 100.0% |\n| 2 | 24 | 358+/-4 | 8,592+/-101 | 17.9% | 44.64 GiB (70%) | 88.2% |\n| 32 | 384 | 366+/-0 | 140,736+/-271 | 18.3% | 41.12 GiB (64%) | 90.3% |\n| 64 | 768 | 353 | 271,104 | 17.6% | 40.93 GiB (64%) | 86.9% |\n",
         kind="weak", last=768, efficiency=0.869),
    # the same notes: points that are still to come
    Real("aurora2.md", "## Aurora Weak Scaling (torch 2.13, 2–4096 nodes) — In Progress\n\n| Nodes | GPUs | GBS | TPS/GPU | TFLOPS | MFU | Memory | Loss (final) | Status |\n|-------|------|-----|---------|--------|-----|--------|--------------|--------|\n| 2 | 24 | 24 | 440 | 65.3 | 22.0% | 32.07 GiB (50%) | 9.43 | Complete |\n| 4 | 48 | — | — | — | — | — | — | Pending |\n| 32 | 384 | 768 | 450 | 50.3 | 16.9% | 43.96 GiB (69%) | 12.91 | Complete |\n| 64–4096 | — | — | — | — | — | — | — | Pending |\n", kind="weak", last=384, efficiency=1.0227, options={"kind": "weak"}),
    # notes on training with LoRA: series by their options, out of memory at three sizes in one line
    Real("lora.md", "| Config | GPUs | Throughput (samples/s) | Peak Mem (GB) | Avg / p95 GPU util | Per-GPU power | Speedup | Scaling efficiency |\n|---|---|---|---|---|---|---|---|\n| rank = 16, bs = 2 | 1 | 1.18 | 72.6 | 78.8 % / 100 % | 248 W | 1.00× | 100 % |\n| rank = 16, bs = 2 | 2 | 2.55 | 64.3 | 42.1 % / 100 % | 164 W | 2.16× | 108 % |\n| rank = 16, bs = 2 | 4 | 5.07 | 64.5 | 36.5 % / 100 % | 151 W | 4.28× | 107 % |\n| rank = 16, **bs = 4** | 1 / 2 / 4 | **OOM @ ≈ 77 GB** | — | — | — | — | — |\n| rank = 32, bs = 2 | 1 | 1.29 | 64.0 | 52.5 % / 100 % | 187 W | 1.00× | 100 % |\n| rank = 32, bs = 2 | 4 | 5.11 | 65.2 | 36.4 % / 100 % | 153 W | 3.97× | 99 % |\n",
         series=2, last=4, efficiency=1.0742, of="rank = 16, bs = 2"),
    # a README on LLaDA: a unit behind every number
    Real("llada.md", "| GPUs | Throughput | Speedup |\n|------|------------|---------|\n| 1    | 12 req/s   | 1×      |\n| 2    | 22 req/s   | 1.8×    |\n| 4    | 44 req/s   | 3.7×    |\n| 8    | 86 req/s   | 7.2×    |\n", last=8, efficiency=0.8958),
    # a laboratory on processes: minutes and seconds
    Real("lab11.md", "| Processes | Time   |\n|-----------|--------|\n| 1         | 2m 43s |\n| 2         | 1m 30s |\n| 10        | 0m 49s |\n| 50        | 0m 35s |\n", kind="strong", last=50, efficiency=0.0931),
    # a benchmark of environments in processes: a device, steps and times of parts
    Real("envs.md", "| Device | Envs | n_steps | Time (s) | Steps/s | Speedup | Efficiency | Rollout (s) | PPO update (s) | Process CPU cores |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n| CPU | 1 | 4096 | 128.73 | 127.28 | 1.00× | 100% | 117.77 | 10.95 | 0.99 |\n| CPU | 2 | 2048 | 83.10 | 197.16 | 1.55× | 77% | 72.13 | 10.97 | 1.52 |\n| CPU | 4 | 1024 | 56.02 | 292.46 | 2.30× | 57% | 45.09 | 10.93 | 2.39 |\n| CPU | 8 | 512 | 39.07 | 419.37 | 3.29× | 41% | 28.12 | 10.95 | 3.57 |\n", refused="--workers-column 'Envs'"),
    Real("envs.md", "| Device | Envs | n_steps | Time (s) | Steps/s | Speedup | Efficiency | Rollout (s) | PPO update (s) | Process CPU cores |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n| CPU | 1 | 4096 | 128.73 | 127.28 | 1.00× | 100% | 117.77 | 10.95 | 0.99 |\n| CPU | 2 | 2048 | 83.10 | 197.16 | 1.55× | 77% | 72.13 | 10.97 | 1.52 |\n| CPU | 8 | 512 | 39.07 | 419.37 | 3.29× | 41% | 28.12 | 10.95 | 3.57 |\n", kind="strong", last=8, efficiency=0.4119, options={"workers_column": "Envs", "kind": "strong"}),
    # scaling of a matrix of routes: times of parts beside that of all, milliseconds in cells
    Real("butterfly.md", "| Threads | Forward | Backward | Total | Speedup | Efficiency |\n|---------|---------|----------|-------|---------|------------|\n| 1 | 2128ms | 3753ms | 5916ms | 1.0x | 100% |\n| 2 | 1239ms | 1976ms | 3249ms | 1.82x | 91% |\n| 4 | 754ms | 1053ms | 1841ms | 3.21x | 80% |\n| 16 | 745ms | 796ms | 1568ms | 3.77x | 24% |\n", kind="strong", last=16, efficiency=0.2358),
    # a library of shapes: speed-ups alone
    Real("shapes.md", "#### Parallel Processing Speedup\n| Threads | Speedup | Efficiency |\n|---------|---------|------------|\n| 1 | 1.0x | 100% |\n| 2 | 1.39x | 69.5% |\n| 4 | 2.1x | 52.5% |\n| 8 | 3.2x | 40% |\n", last=8, efficiency=0.4),
    # agents on a database: thousands with commas
    Real("agents.md", "| Agents | Ops/sec | Speedup | Efficiency |\n|--------|---------|---------|------------|\n| 1 | 657 | 1.0x | 100% |\n| 4 | 1,629 | 2.48x | 62% |\n| 8 | 2,011 | 3.06x | 38% |\n| 13 | 2,195 | 3.34x | 26% |\n", last=13, efficiency=0.257),
    # a course on linked lists: a serial program in the first line, P=1; far above 100 %
    Real("lists.md", "### N = 20000\n| Config   | Time (s) | Speedup | Efficiency |\n|----------|----------|---------|------------|\n| Seq      | 0.8724   | 1.00x   | 100%       |\n| P=1      | 0.8933   | 0.98x   | 97.7%      |\n| P=2      | 0.1553   | 5.62x   | 280.8%     |\n| P=8      | 0.0164   | 53.11x  | 663.8%     |\n", kind="strong", last=8, efficiency=6.8087, options={"workers_column": "Config"}),
    # a report on COBRApy: footnotes at numbers, a problem size, serial lines beside parallel ones
    Real("cobra.md", "| Combinations | Mode | Processes | Avg Time (s) | Speedup | Efficiency (%) | Avg Memory (MB) |\n|---|---|---|---|---|---|---|\n| 100 | sequential | 1 | 25.43 | 1.00 | 100.0 | 11.7 |\n| 100 | parallel | 1 | 12.30 | 2.07 | 206.7* | 0.3 |\n| 100 | parallel | 2 | 7.32 | 3.47 | 173.6* | 0.1 |\n| 100 | parallel | 4 | 4.98 | 5.11 | 127.7* | 0.1 |\n| 500 | sequential | 1 | 124.22 | 1.00 | 100.0 | 14.0 |\n| 500 | parallel | 1 | 55.38 | 2.24 | 224.3* | 0.2 |\n| 500 | parallel | 2 | 31.11 | 3.99 | 199.7* | 0.2 |\n| 500 | parallel | 4 | 15.80 | 7.86 | 196.5* | 0.2 |\n",
         kind="strong", last=4, efficiency=0.8763, of="Mode=parallel, Combinations=500", series=2, options={"series_column": ("Mode", "Combinations")}),
    # LAMMPS on small machines: several tables under headings; three columns that say the same
    Real("lammps.md", "# arm\n\n## Raspberry Pi 3b\n### Performance\n\n| # of cores | ns/day | hours/ns | timeseteps/s |\n| :----: | :----: | :----: |:----:|\n| 1 | 0.140 | 171.798 | 0.323 |\n| 2 | 0.262 | 91.741 | 0.606 |\n| 4 | 0.429 | 55.937 | 0.993 |\n\n## E5-2670\n\n| # of cores | ns/day | hours/ns | timeseteps/s |\n| :----: |:----:|:----:|:----:|\n| 1 | 0.944 | 25.430 | 2.185 |\n| 16 | 11.836 | 2.028 | 27.399 |\n", series=2, last=16, efficiency=0.7836, of="E5-2670"),
    # TDDFT on an NVHPC build: thousands without commas, processes that failed
    Real("tddft.md", "TDDFT status by MPI process count:\n\n| MPI ranks | status | approximate wall time for 100 steps |\n| ---: | --- | ---: |\n| 1 | PASS | 1457 s |\n| 2 | PASS | 797 s |\n| 5 | PASS | 392 s |\n| 6 | FAIL | incomplete output / MPI termination |\n| 8 | FAIL | incomplete output / MPI termination |\n", kind="strong", last=5, efficiency=0.7434),
    # rossumai/keras-multi-gpu: columns of one name for each package
    Real("keras.md", "| machine   | GPUs   | images/sec | speedup | images/sec | speedup |\n|-----------|--------|------------|----------|---------|------------|\n|||kuza55 | kuza55 | avolkov1 | avolkov1  |\n| 7gforce   | 1      | 39.07      | 1.00x    | 41         | 1.00x  |\n| 7gforce   | 2      | 49.01      | 1.25x    | 50.1       | 1.22x  |\n| 7gforce   | 6      | error      | N/A  |  65.37      | 1.59x   |\n", refused="--throughput-column 3 or --throughput-column 5"),
    Real("keras.md", "| machine   | GPUs   | images/sec | speedup | images/sec | speedup |\n|-----------|--------|------------|----------|---------|------------|\n|||kuza55 | kuza55 | avolkov1 | avolkov1  |\n| 7gforce   | 1      | 39.07      | 1.00x    | 41         | 1.00x  |\n| 7gforce   | 2      | 49.01      | 1.25x    | 50.1       | 1.22x  |\n| 7gforce   | 6      | error      | N/A  |  65.37      | 1.59x   |\n", last=6, efficiency=0.2657, options={"throughput_column": ("5",)}),
    # a README on serving: prices, GPUs by model
    Real("t4.md", "| GPUs | Throughput (QPS) | Latency (p95) | Cost/Month |\n|------|-----------------|---------------|------------|\n| 1× T4 | 1,200 | 15ms | $600 |\n| 2× T4 | 2,200 | 16ms | $1,200 |\n| 4× T4 | 4,000 | 18ms | $2,400 |\n| 8× T4 | 7,200 | 22ms | $4,800 |\n", last=8, efficiency=0.75),
    # a README on agents: other GPUs in the last line
    Real("h100.md", "| GPUs | Throughput | Latency (P50) | Cost/hour |\n|------|------------|---------------|-----------|\n| 1x A100 (40GB) | 50 req/s | 1,234ms | $4.00 |\n| 2x A100 (40GB) | 100 req/s | 800ms | $8.00 |\n| 8x H100 (80GB) | 500 req/s | 200ms | $40.00 |\n", refused="counts different things"),
    # a README on large models: millions
    Real("tok.md", "| GPUs | Throughput | Efficiency |\n|------|-----------|------------|\n| 8 | 2.5M tok/s | 100% |\n| 16 | 4.8M tok/s | 96% |\n| 32 | 9.2M tok/s | 92% |\n", last=32, efficiency=0.92),
    # a README of which nothing was measured yet
    Real("todo.md", "| GPUs | Throughput (samples/s) | Scaling efficiency |\n|------|------------------------|---------------------|\n| 1 | TODO | — |\n| 8 | TODO | TODO |\n", refused="no row that was measured"),
    # AthenaPK runs on Summit, as the issue had them: CPU time that stays, and a rate
    Real("rate.csv", "Num MPI ranks,Num nodes,cpu time used,zone-cycles/cpu_second\n4,1,2.95e2,3.8e8\n8,2,2.96e2,7.7e8\n16,4,2.96e2,1.5e9\n", kind="weak", last=16, efficiency=0.9868),
]  # fmt: skip
