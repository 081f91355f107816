"""What every part of the package may use: data classes, errors, files, threads, devices. It imports no other part."""
