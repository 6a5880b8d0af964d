"""What is asked, as plain data (row 1): files and names in, checked values out.

    benchmark_config  LoRABenchmarkConfig, from a file, a preset or a mapping: start reading here
    checks            its rules, one check a field; every error names field, rule and value
    stored            the config.yaml of an output folder, as the run that wrote it meant it
    adapters          one LoRA configuration
    methods           full, LoRA or any PEFT method, from its text form
    claims            claims: metric, claimed value, thresholds, source
    architectures     public models by name: facts, with their source
    gpus              devices by name: the memory they report
    launching         how the processes of a cell are started
    trainer_args      arguments of the Trainer that may be given
    tracking          services that follow a training, such as TensorBoard
    yaml_io           plain YAML only; presets by name

Nothing here imports torch.
"""
