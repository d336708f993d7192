"""Does a model still know the class? One file an audit; each is a pure function of models and images."""
