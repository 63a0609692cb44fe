from collect.browser.install import main

main()
