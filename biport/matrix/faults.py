def mutate(): pass
