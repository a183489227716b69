def write_hparams(folder, trial, objective):
    pass
