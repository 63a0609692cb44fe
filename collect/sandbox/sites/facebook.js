'use strict';

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// The album's form: boxes appear once there are files; everything goes in one request.
function createAlbum(form) {
  const input = form.querySelector('input[type=file]');
  const previews = form.querySelector('.x1n2onr6');
  const boxes = form.querySelector('.x9f619');
  const alert = form.querySelector('[role=alert]');
  const audience = form.querySelector('[aria-haspopup]');
  const post = form.querySelector('.main');
  const files = [];

  input.addEventListener('change', () => {
    for (const file of input.files) {
      files.push(file);
      previews.append(element('img', { src: URL.createObjectURL(file), alt: file.name }));
    }
    input.value = '';
    if (!boxes.children.length) {
      boxes.append(
        element('label', {}, element('span', { textContent: 'Album name' }),
          element('input', { type: 'text', name: 'album_name' })),
        element('label', {}, element('span', { textContent: 'Description (optional)' }),
          element('textarea', { name: 'description' })));
    }
    post.disabled = !files.length;
  });

  audience.addEventListener('click', () => {
    const choices = element('div', { role: 'radiogroup' });
    for (const name of ['Public', 'Friends', 'Only me']) {
      choices.append(element('label', {}, element('input', {
        type: 'radio', name: 'choice', value: name, checked: name === audience.textContent,
      }), ' ' + name));
    }
    const done = element('button', { type: 'button', className: 'main', textContent: 'Done' });
    const dialog = element('dialog', { ariaLabel: 'Select audience' },
      element('h2', { textContent: 'Who can see your album?' }), choices, done);
    done.addEventListener('click', () => {
      audience.textContent = choices.querySelector(':checked').value;
      dialog.close();
    });
    dialog.addEventListener('close', () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  });

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    post.disabled = true;
    const body = new FormData();
    body.append('fb_dtsg', form.elements.fb_dtsg.value);
    body.append('album_name', form.elements.album_name.value);
    body.append('description', form.elements.description.value);
    body.append('audience', audience.textContent);
    for (const file of files) body.append('files', file);
    let answer = { msg: 'Something went wrong. Please try again.' };
    try {
      answer = await (await fetch('/media/set/create', { method: 'POST', body })).json();
    } catch { /* the message says it */ }
    if (answer.album) {
      location.assign('/media/set/?set=' + answer.album);
    } else {
      alert.textContent = answer.msg;
      post.disabled = false;
    }
  });
}

// The album's page: the next photos come when its end comes into sight.
function loadMore(photos) {
  const end = document.querySelector('#end');
  const observer = new IntersectionObserver(async ([entry]) => {
    if (!entry.isIntersecting || end.hidden) return;
    observer.unobserve(end);
    const query = new URLSearchParams({ set: photos.dataset.set, after: photos.dataset.next });
    try {
      const answer = await (await fetch('/media/set/more?' + query)).json();
      photos.insertAdjacentHTML('beforeend', answer.html);
      photos.dataset.next = answer.next;
      end.hidden = !answer.more;
    } catch {
      await new Promise((later) => setTimeout(later, 1000));
    }
    observer.observe(end);
  });
  observer.observe(end);
}

const form = document.querySelector('#create');
const photos = document.querySelector('#photos');
const remove = document.querySelector('#delete');
if (form) createAlbum(form);
if (photos) loadMore(photos);
if (remove) remove.addEventListener('click', () => document.querySelector('dialog').showModal());
