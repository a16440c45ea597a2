"""What every flow and command needs: settings, progress, signals, errors in one sentence."""
